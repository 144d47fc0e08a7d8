"""The Lambda handler on what API Gateway really sends, where that differs from ``chalice local``."""

import base64

import pytest

from chalicelib import runtime
from tests.support.gateway import app, send


def test_the_request_id_is_that_of_the_gateway() -> None:
    assert send("GET", "/health")["headers"]["X-Request-Id"] == "gateway-request"


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [
        (None, "https://abc.execute-api.eu-west-1.amazonaws.com/v1"),
        ("https://files.example.org/api/", "https://files.example.org/api"),
    ],
)
def test_links_lead_to_the_public_url_or_to_the_gateway(
    monkeypatch: pytest.MonkeyPatch, public_url: str | None, expected: str
) -> None:
    options = runtime.settings().model_copy(update={"public_url": public_url})
    monkeypatch.setattr(runtime, "settings", lambda: options)

    assert f'"{expected}"' in send("GET", "/openapi.json", headers={"Host": "evil.example.org"})["body"]


def test_a_body_that_the_gateway_encoded_is_read() -> None:
    body = base64.b64encode(b'{"colour": 1}').decode()
    headers = {"Content-Type": "application/json"}

    answer = send("POST", "/api/sessions", body=body, isBase64Encoded=True, headers=headers)
    assert answer["statusCode"] == 400
    assert '"colour"' in answer["body"]


def test_an_event_without_headers_is_answered() -> None:
    assert send("GET", "/health", headers=None)["statusCode"] == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_every_path_takes_every_method_so_that_the_gateway_refuses_none(method: str) -> None:
    assert {path for path, entries in app.routes.items() if method not in entries} == set()


def test_no_two_variables_of_paths_are_siblings_which_the_gateway_refuses() -> None:
    siblings: dict[str, set[str]] = {}
    for path in app.routes:
        parts = path.split("/")
        for index, part in enumerate(parts):
            if part.startswith("{"):
                siblings.setdefault("/".join(parts[:index]), set()).add(part)

    assert {parent: names for parent, names in siblings.items() if len(names) > 1} == {}


def test_assets_are_text_that_lambda_can_return() -> None:
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        answer = send("GET", "/docs/{asset}", pathParameters={"asset": asset})
        assert isinstance(answer["body"], str)
        assert len(answer["body"]) < 5_000_000


def test_chalices_own_refusals_are_reworded() -> None:
    answer = send("TRACE", "/health")
    assert answer["statusCode"] == 405
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert '"/problems/method-not-allowed"' in answer["body"]
    assert answer["headers"]["Allow"]
