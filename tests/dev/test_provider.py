"""The local identity provider: codes with PKCE, refreshed tokens, signing out, and what it refuses."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import urllib3

from chalicelib.errors import Unauthenticated
from chalicelib.services.accounts.discovery import fetch_key_set
from chalicelib.services.accounts.signing_keys import SigningKeys
from chalicelib.services.accounts.tokens import Identity, Issuer, identity_of
from dev.authorization import AUDIENCE, Authorization
from dev.configuration import Configuration
from dev.problem import StackProblem
from dev.provider import make_server
from dev.token import get_token
from tests.support.ports import free_ports

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BACK = "http://localhost:8000/callback"
ASKED = {
    "response_type": "code",
    "client_id": "page",
    "redirect_uri": BACK,
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "state": "s",
    "nonce": "n",
}


@dataclass
class Browser:
    """What a page does."""

    url: str

    def ask(self, method: str, path: str, fields: dict[str, str] | None = None) -> urllib3.BaseHTTPResponse:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(fields or {})
        return urllib3.request(method, self.url + path, body=body, headers=headers, redirect=False, retries=False)

    def code(self, name: str = "ada", **changes: str) -> str:
        answer = self.ask("POST", "/authorize", {**ASKED, "name": name, **changes})
        assert answer.status == 303, answer.data
        given = parse_qs(urlsplit(answer.headers["Location"]).query)
        assert (answer.headers["Location"].split("?")[0], given["state"]) == (BACK, ["s"])
        return given["code"][0]

    def redeem(self, code: str, **changes: str) -> Any:
        redeemed = {"grant_type": "authorization_code", "code": code, "client_id": "page", "redirect_uri": BACK}
        return self._tokens({**redeemed, "code_verifier": VERIFIER, **changes})

    def refresh(self, token: str, **changes: str) -> Any:
        return self._tokens({"grant_type": "refresh_token", "refresh_token": token, "client_id": "page", **changes})

    def _tokens(self, fields: dict[str, str]) -> Any:
        answer = self.ask("POST", "/token", fields)
        document = json.loads(answer.data)
        assert answer.status == (400 if "error" in document else 200)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        return document

    def identity(self, token: str, audience: str = AUDIENCE) -> Identity:
        keys = SigningKeys(fetch_key_set)
        return identity_of(token, [Issuer(self.url, (audience,))], keys, datetime.now(UTC))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    server = make_server(Authorization(url, tmp_path), port)
    Thread(target=server.serve_forever, daemon=True).start()
    yield Browser(url)
    server.shutdown()
    server.server_close()


def test_a_page_signs_somebody_in_and_the_api_takes_the_token(browser: Browser) -> None:
    hostile = urlencode({**ASKED, "state": '"><script>'})
    page = browser.ask("GET", f"/authorize?{hostile}").data.decode()
    assert "Who are you?" in page
    assert "<script>" not in page
    assert re.search(r'<button name="name" value="ada">Ada</button>', page)

    tokens = browser.redeem(browser.code("grace"))
    assert browser.identity(tokens["access_token"]) == Identity(browser.url, "grace", "Grace", "grace@example.org")
    assert browser.identity(tokens["id_token"], "page").subject == "grace"
    with pytest.raises(Unauthenticated, match="another service"):
        browser.identity(tokens["id_token"])


def test_a_refresh_token_is_good_once_and_its_theft_ends_the_sign_in(browser: Browser) -> None:
    first = browser.redeem(browser.code())
    second = browser.refresh(first["refresh_token"])
    assert browser.identity(second["access_token"]).subject == "ada"
    assert browser.refresh(second["refresh_token"], client_id="other")["error"] == "invalid_grant"

    third = browser.redeem(browser.code())
    newest = browser.refresh(third["refresh_token"])
    assert browser.refresh(third["refresh_token"])["error"] == "invalid_grant"  # somebody uses the old one again
    assert browser.refresh(newest["refresh_token"])["error"] == "invalid_grant"


def test_a_code_is_good_once_for_the_page_that_asked(browser: Browser) -> None:
    code = browser.code()
    tokens = browser.redeem(code)
    assert browser.redeem(code)["error"] == "invalid_grant"
    assert browser.refresh(tokens["refresh_token"])["error"] == "invalid_grant"
    for changes in ({"code_verifier": "w" * 43}, {"client_id": "other"}, {"redirect_uri": "http://localhost/"}):
        assert browser.redeem(browser.code(), **changes)["error"] == "invalid_grant"
    assert browser.redeem("made up")["error"] == "invalid_grant"
    assert browser.redeem("x", grant_type="password")["error"] == "unsupported_grant_type"


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "http://localhost@evil.example/"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "http://[bad"},
        {"code_challenge_method": "plain"},
        {"code_challenge": "short"},
        {"client_id": ""},
        {"response_type": "token"},
        {"name": "../Ada"},
    ],
)
def test_what_is_not_a_good_request_gets_no_code(browser: Browser, changes: dict[str, str]) -> None:
    answer = browser.ask("POST", "/authorize", {**ASKED, "name": "ada", **changes})
    assert (answer.status, "Location" in answer.headers) == (400, False)


def test_signing_out_ends_the_refresh_token(browser: Browser) -> None:
    tokens = browser.redeem(browser.code())
    query = urlencode({"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": BACK, "state": "bye"})
    answer = browser.ask("GET", f"/end-session?{query}")
    assert (answer.status, answer.headers["Location"]) == (303, f"{BACK}?state=bye")
    assert browser.refresh(tokens["refresh_token"])["error"] == "invalid_grant"
    assert browser.ask("GET", "/end-session?id_token_hint=rubbish").status == 200
    assert browser.ask("GET", "/end-session?post_logout_redirect_uri=https://evil.example").status == 400
    assert (browser.ask("GET", "/nothing").status, browser.ask("POST", "/nothing").status) == (404, 404)


def test_tokens_outlive_a_restart(browser: Browser, tmp_path: Path) -> None:
    before = Authorization(browser.url, tmp_path).key_set()
    assert before == Authorization(browser.url, tmp_path).key_set()
    assert (tmp_path / "provider-key.json").stat().st_mode & 0o077 == 0


def test_the_command_line_gets_a_token(browser: Browser, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, provider_port=int(browser.url.rpartition(":")[2]))
    assert browser.identity(get_token(configuration, "linus")).subject == "linus"
    with pytest.raises(StackProblem, match="refused: A name is"):
        get_token(configuration, "No Name")
    with pytest.raises(StackProblem, match="LANDFALL_IDENTITY=oidc make run"):
        get_token(Configuration(tmp_path, provider_port=1), "ada")
