"""What a page is told before anybody has signed in; and that a header says who calls only where it counts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.backend import emulated_store
from tests.support.identified import URL, identified_service

OTHER = "https://other.example.com"


def told(url: str, home: Path, **environment: str) -> Any:
    with emulated_store(home) as (s3, _), identified_service(url, s3, **environment) as service:
        answer = service.ask(None, "/api/identity")
        assert answer["statusCode"] == 200
        assert answer["headers"]["Cache-Control"] == "public, max-age=300"
        return json.loads(answer["body"])


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {"issuers": [URL], "client_id": None, "audience": "landfall"}),
        (
            {"LANDFALL_OIDC_ISSUERS": f"{URL},{OTHER}", "LANDFALL_OIDC_CLIENT_ID": "page"},
            {"issuers": [URL, OTHER], "client_id": "page", "audience": "landfall"},
        ),
        # As with Cognito, whose tokens are meant for the client.
        (
            {"LANDFALL_OIDC_AUDIENCES": "page,landfall", "LANDFALL_OIDC_CLIENT_ID": "page"},
            {"issuers": [URL], "client_id": "page", "audience": None},
        ),
        (
            {"LANDFALL_OIDC_SCOPES": "openid, api://landfall/all"},
            {"issuers": [URL], "client_id": None, "audience": "landfall", "scopes": ["openid", "api://landfall/all"]},
        ),
    ],
    ids=["no page", "several providers", "Cognito", "scopes"],
)
def test_a_page_is_told_where_and_how_to_sign_in(
    api_database_url: str, tmp_path: Path, environment: dict[str, str], expected: dict[str, Any]
) -> None:
    usual = {"mode": "oidc", "scopes": ["openid", "email", "profile"]}
    assert told(api_database_url, tmp_path, **environment) == usual | expected


def test_a_page_is_told_where_nobody_has_to_sign_in_or_nobody_can(
    serve: Callable[..., Any], api: Any, api_database_url: str
) -> None:
    nothing = {"issuers": [], "client_id": None, "scopes": [], "audience": None}
    assert api.as_nobody()("GET", "/api/identity").json == {"mode": "demo", **nothing}
    with serve(api_database_url, LANDFALL_IDENTITY="none") as other:
        assert other("GET", "/api/identity").json == {"mode": "none", **nothing}
        asked = {"Origin": "http://other.example", "Access_Control_Request_Method": "PATCH"}
        allowed = other("OPTIONS", "/api/users/1", **asked).headers["Access-Control-Allow-Headers"].split(",")
        assert {"Authorization", "If-Match"} <= set(allowed)
        document = other("GET", "/openapi.json")
        assert "X-Landfall-User" not in {*allowed, *document.headers["Access-Control-Allow-Headers"].split(",")}
        assert "Landfall-User" not in document.body.decode()
        assert "LocalUser" not in document.body.decode()
        operations = [one for path in document.json["paths"].values() for one in path.values()]
        assert {json.dumps(one["security"]) for one in operations} == {"[]", '[{"token": []}]'}
