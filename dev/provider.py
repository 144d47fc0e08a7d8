"""``python -m dev.provider`` serves `dev.authorization`, so that pages sign in on a laptop as they will in the cloud."""

import html
import json
import signal
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from dev.authorization import PEOPLE, Authorization, Refused, Request, require_near
from dev.configuration import HOST, Configuration

_LARGEST_BODY = 65_536
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in to Landfall, locally</title>
<style>body {{ font: 16px/1.5 system-ui; margin: 4rem auto; max-width: 24rem; padding: 0 1rem }}
button, input {{ font: inherit; padding: .4rem .8rem; margin: .2rem .2rem .2rem 0 }}</style>
<h1>Who are you?</h1><p>This provider is the local stack's own. It believes everybody.</p>
<form method="post">{hidden}{people}</form>
<form method="post">{hidden}<label>Somebody else <input name="name" required pattern="[a-z0-9][a-z0-9._-]*"></label>
<button>Sign in</button></form></html>"""


class _RequestHandler(BaseHTTPRequestHandler):
    authorization: Authorization
    timeout = 30

    def do_GET(self) -> None:
        self._answering(lambda: self._get(urlsplit(self.path)))

    def do_POST(self) -> None:
        self._answering(self._post)

    def do_OPTIONS(self) -> None:
        self._send(204, b"", "text/plain")

    def _get(self, url: Any) -> None:
        given = dict(parse_qsl(url.query))
        if url.path == "/.well-known/openid-configuration":
            self._json(200, self.authorization.description())
        elif url.path == "/keys":
            self._json(200, self.authorization.key_set())
        elif url.path == "/authorize":
            Request.parse(given)
            self._send(200, _page(given).encode(), "text/html; charset=utf-8")
        elif url.path == "/end-session":
            self.authorization.sign_out(given.get("id_token_hint", ""))
            self._leave(given)
        else:
            self._json(404, {"error": "not_found", "error_description": "There is nothing at this path."})

    def _post(self) -> None:
        path, given = urlsplit(self.path).path, self._form()
        if path == "/token":
            self._json(200, self.authorization.tokens(given))
        elif path == "/authorize":
            request = Request.parse(given)
            code = self.authorization.sign_in(request, given.get("name", ""))
            self._redirect(
                request.redirect_uri, {"code": code, "state": request.state, "iss": self.authorization.issuer}
            )
        else:
            self._json(404, {"error": "not_found", "error_description": "There is nothing at this path."})

    def _form(self) -> dict[str, str]:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or len(length) > 6 or int(length) > _LARGEST_BODY:
            raise Refused("invalid_request", "The body is too large.")
        return dict(parse_qsl(self.rfile.read(int(length)).decode(errors="replace")))

    def _leave(self, given: dict[str, str]) -> None:
        if target := given.get("post_logout_redirect_uri", ""):
            require_near(target, "post_logout_redirect_uri")
            self._redirect(target, {"state": given.get("state", "")})
        else:
            self._send(200, b"Signed out.", "text/plain; charset=utf-8")

    def _answering(self, answer: Callable[[], None]) -> None:
        try:
            answer()
        except Refused as refused:
            self._json(400, {"error": refused.error, "error_description": refused.description})

    def _redirect(self, target: str, added: dict[str, str]) -> None:
        query = urlencode({name: value for name, value in added.items() if value})
        self._send(303, b"", "text/plain", Location=f"{target}{'&' if '?' in target else '?'}{query}")

    def _json(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, json.dumps(document).encode(), "application/json")

    def _send(self, status: int, body: bytes, content_type: str, **headers: str) -> None:
        self.send_response(status)
        sent = {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            **headers,
        }
        # A page fetches tokens itself. Whoever has no code gets none.
        sent |= {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Log nothing: addresses hold codes."""


def make_server(authorization: Authorization, port: int) -> ThreadingHTTPServer:
    """A server on the loopback interface, not yet serving."""
    handler = type("RequestHandler", (_RequestHandler,), {"authorization": authorization})
    return ThreadingHTTPServer((HOST, port), handler)


def _page(given: dict[str, str]) -> str:
    hidden = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in given.items()
        if name != "name"
    )
    people = "".join(f'<button name="name" value="{name}">{name.title()}</button>' for name in PEOPLE)
    return _PAGE.format(hidden=hidden, people=people)


def main() -> None:
    """Serve until SIGTERM."""
    configuration = Configuration.from_environment()
    server = make_server(Authorization(configuration.provider_url, configuration.home), configuration.provider_port)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


if __name__ == "__main__":
    main()
