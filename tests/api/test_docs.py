"""The documentation page works with nothing but this server."""

import re
from urllib.parse import urljoin

import pytest

from tests.support.api import Api, assert_problem


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_the_server_has_everything_that_the_page_loads(api: Api, path: str) -> None:
    page = api("GET", path)
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"

    html = page.body.decode()
    references = re.findall(r'(?:src|href|data-document)="([^"]+)"', html)
    assert len(references) >= 4

    for reference in references:
        if reference.startswith("data:"):
            continue
        assert not reference.startswith(("http:", "https:", "//", "/"))
        assert api("GET", urljoin(path, reference)).status == 200, reference


def test_the_policy_of_the_page_allows_nothing_from_elsewhere(api: Api) -> None:
    policy = api("GET", "/docs").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'; " in policy
    assert "connect-src 'self' http://127.0.0.1:4566; " in policy  # S3, where downloads lead
    assert b"<script>" not in api("GET", "/docs").body


@pytest.mark.parametrize(
    ("asset", "content_type", "content"),
    [
        ("swagger-ui-bundle.js", "text/javascript; charset=utf-8", b"SwaggerUIBundle"),
        ("swagger-ui.css", "text/css; charset=utf-8", b".swagger-ui"),
        ("start.js", "text/javascript; charset=utf-8", b"SwaggerUIBundle("),
    ],
)
def test_an_asset_is_whole_and_of_its_type_for_every_client(
    api: Api, asset: str, content_type: str, content: bytes
) -> None:
    for accept in ("*/*", "text/css,*/*;q=0.1", "application/json"):
        answer = api("GET", f"/docs/{asset}", Accept=accept)

        assert answer.status == 200
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["Cache-Control"] == "max-age=3600"
        assert content in answer.body
        assert b"sourceMappingURL" not in answer.body


def test_other_files_are_not_found(api: Api) -> None:
    for name in ("index.html", "..%2Fapp.py", "LICENSE", "%00"):
        answer = api("GET", f"/docs/{name}")
        assert answer.status in (400, 404)
    assert_problem(api("GET", "/docs/index.html"), 404, "not-found")


def test_the_root_leads_to_the_documentation(api: Api) -> None:
    answer = api("GET", "/")
    assert answer.status == 302
    assert answer.headers["Location"] == f"http://127.0.0.1:{api.port}/docs"


def test_the_type_of_a_problem_leads_to_what_it_means(api: Api) -> None:
    problem = assert_problem(api("GET", "/api/users/nobody"), 400, "invalid-input", ("path", "user_id"))

    told = api("GET", problem["type"])
    assert told.status == 200
    assert told.json == {name: problem[name] for name in ("type", "title", "status")}
    assert_problem(api("GET", "/problems/imaginary"), 404, "not-found")
