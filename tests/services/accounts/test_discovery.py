"""Key sets are fetched from providers that answer as providers do, and from nobody else."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from chalicelib.errors import KeysUnavailable
from chalicelib.services.accounts.discovery import fetch_key_set
from chalicelib.services.accounts.signing_keys import parse_keys
from tests.support.provider import Provider

DESCRIPTION = "/.well-known/openid-configuration"
Pages = dict[str, tuple[int, dict[str, str], bytes]]


@contextmanager
def server(pages: Callable[[str], Pages]) -> Iterator[str]:
    """Serves ``pages(its own URL)``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = content.get(self.path, (404, {}, b"not here"))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{http.server_port}"
    content = pages(url)
    thread = Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield url
    finally:
        http.shutdown()
        http.server_close()


def described(issuer: str, location: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, json.dumps({"issuer": issuer, "jwks_uri": location}).encode()


def test_the_keys_that_an_issuer_describes_are_fetched() -> None:
    document = Provider("x").key_set()
    with server(lambda url: {DESCRIPTION: described(url, f"{url}/k"), "/k": (200, {}, document)}) as url:
        assert fetch_key_set(url) == document


def test_an_issuer_may_have_a_path_or_end_in_a_slash() -> None:
    document = Provider("x").key_set()
    pages = lambda url: {  # noqa: E731 - read beside what it serves
        f"/tenant{DESCRIPTION}": described(f"{url}/tenant/", f"{url}/k"),
        "/k": (200, {}, document),
    }
    with server(pages) as url:
        assert fetch_key_set(f"{url}/tenant/") == document


def test_an_emulated_user_pool_is_asked_in_place_of_the_real_one() -> None:
    issuer, document = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_abc", Provider("x").key_set()
    pages = lambda url: {  # noqa: E731
        f"/us-east-1_abc{DESCRIPTION}": described(issuer, "http://elsewhere:4566/us-east-1_abc/.well-known/jwks.json"),
        "/us-east-1_abc/.well-known/jwks.json": (200, {}, document),
    }
    with server(pages) as url:
        assert parse_keys(fetch_key_set(issuer, url))


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda url: (500, {}, b""), "doesn't answer"),
        (lambda url: (302, {"Location": f"{url}/k"}, b""), "doesn't answer"),
        (lambda url: (200, {}, b"<html>"), "can't be read"),
        (lambda url: (200, {}, b"[" * 100_000), "can't be read"),
        (lambda url: (200, {}, b"[]"), "can't be read"),
        (lambda url: (200, {}, json.dumps({"issuer": url}).encode()), "can't be read"),
        (lambda url: described("https://another.example", f"{url}/k"), "its name is another"),
        (lambda url: described(f"{url}/", f"{url}/k"), "its name is another"),
        (lambda url: described(url, 7), "its name is another"),
        (lambda url: described(url, "file:///etc/passwd"), "no https URL"),
        (lambda url: described(url, "http://169.254.169.254/latest"), "no https URL"),
        (lambda url: described(url, "http://[broken"), "names an address that is none"),
        (lambda url: described(url, f"{url}/nothing"), "doesn't answer"),
        (lambda url: described(url, f"{url}/empty"), "no key that can be used"),
        (lambda url: described(url, f"{url}/large"), "too large"),
        (lambda url: described(url, f"{url}/no-set"), "can't be read"),
    ],
)
def test_what_answers_otherwise_gives_no_keys(answer: Callable[[str], Any], problem: str) -> None:
    pages = lambda url: {  # noqa: E731
        DESCRIPTION: answer(url),
        "/k": (200, {}, Provider("x").key_set()),
        "/empty": (200, {}, b'{"keys": []}'),
        "/large": (200, {}, b" " * ((1 << 20) + 2)),
        "/no-set": (200, {}, b"[]"),
    }
    with server(pages) as url, pytest.raises(KeysUnavailable, match=problem):
        fetch_key_set(url)


def test_nobody_there_gives_no_keys() -> None:
    with pytest.raises(KeysUnavailable, match="doesn't answer"):
        fetch_key_set("http://127.0.0.1:1")
