"""Workarounds for Chalice. Each one names its cause.

Sources are those of Chalice 1.34: https://github.com/aws/chalice/blob/1.34.0/chalice/
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from chalice.app import CORSConfig, Request, Response

from chalicelib.api.http import problems
from chalicelib.api.http.exchange import Exchange
from chalicelib.errors import InvalidInput, LandfallError, MethodNotAllowed, NotFound, UnsupportedMediaType
from chalicelib.settings import offers_demo_users

CORS = CORSConfig(
    allow_headers=["If-Match", "If-None-Match", *(["X-Landfall-User"] if offers_demo_users() else [])],
    expose_headers=[
        "ETag",
        "Link",
        "Location",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "X-Landfall-Wait",
        "X-Request-Id",
    ],
    max_age=600,
)

# app.py, `_main_rest_api_handler`: a media type that is not listed is answered 415 in Chalice's own shape, before any
# view. So every type is let in, and `chalicelib.api.http.reading` refuses.
JSON: dict[str, Any] = {"content_types": ["*/*"], "cors": CORS}

_exchange: ContextVar[Exchange] = ContextVar("landfall_exchange")
_MEANING: dict[int, type[LandfallError]] = {400: InvalidInput, 404: NotFound, 415: UnsupportedMediaType}


def current_exchange() -> Exchange:
    """The request being answered.

    Chalice hands a view its path parameters only; the request is an attribute of the app (of the thread, under
    ``chalice local``), which a decorator in another module doesn't have.
    """
    return _exchange.get()


def speak_problems(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """HTTP middleware: holds the request for `current_exchange`, and rewords the errors that Chalice answers itself.

    app.py, `error_response`: ``{"Code": ..., "Message": ...}``, with no view involved.
    """
    with _holding(Exchange(request)) as exchange:
        try:
            response = get_response(request)
        except Exception as error:  # noqa: BLE001 - another middleware failed; Chalice would word it in its own way
            return problems.response_to(error, exchange)
        if not isinstance(response.body, dict) or "Code" not in response.body:
            return response
        reworded = problems.response_to(_meaning(response, exchange), exchange)
        reworded.headers |= response.headers | {"X-Request-Id": exchange.request_id, "Cache-Control": "no-store"}
        reworded.headers["Content-Type"] = problems.MEDIA_TYPE
        return reworded


def _meaning(response: Response, exchange: Exchange) -> Exception:
    message = str(response.body.get("Message", ""))
    if response.status_code == 405:
        return MethodNotAllowed(exchange.method, tuple(str(response.headers.get("Allow", "")).split(", ")))
    return _MEANING.get(response.status_code, Exception)(message)


@contextmanager
def _holding(exchange: Exchange) -> Iterator[Exchange]:
    token = _exchange.set(exchange)
    try:
        yield exchange
    finally:
        _exchange.reset(token)


def relieve_local_server() -> None:
    """Let ``chalice local`` take a browser's burst of requests. Elsewhere there is no such server, and nothing happens.

    Its socket keeps five waiting connections (socketserver, `request_queue_size`) and resets the sixth; and it writes
    head and body apart, so that a kept-alive connection waits 40 ms for the client's delayed acknowledgement, and the client
    wakes up twice. So both leave together, when the request is answered (`wbufsize`). Of a header
    that comes twice it passes on the first alone (`_parse_payload`), where API Gateway passes on both.
    """
    local = sys.modules.get("chalice.local")
    if local is not None:
        local.ThreadedHTTPServer.request_queue_size = 128
        handler = local.ChaliceRequestHandler
        handler.disable_nagle_algorithm = True
        handler.wbufsize = -1
        handler.handle_expect_100 = _leaving_at_once(handler.handle_expect_100)
        handler._parse_payload = _parse_payload


def _leaving_at_once(say_continue: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """A client that announces its body sends it when it is told to go on, so that word can't wait for the answer."""

    def handle_expect_100(handler: Any) -> bool:
        goes_on = say_continue(handler)
        handler.wfile.flush()
        return goes_on

    return handle_expect_100


def _parse_payload(handler: Any) -> tuple[dict[str, str], bytes | None]:
    """The headers, with the values of one that comes several times joined by commas, however it is spelled; and the body."""
    named: dict[str, tuple[str, str]] = {}
    for name, value in handler.headers.items():
        first, before = named.get(name.lower(), (name, None))
        named[name.lower()] = first, value if before is None else f"{before}, {value}"
    length = int(handler.headers.get("content-length", "0"))
    return dict(named.values()), handler.rfile.read(length) if length > 0 else None


def watch_sources_only() -> None:
    """Have the reloader of ``chalice local`` look at the application's own files. Elsewhere nothing happens.

    It restarts the server when any file below the project changes (cli/filewatch/stat.py, `StatFileWatcher`), and the
    local stack's database and logs in ``.landfall/`` change with every request.

    Its first look comes before this module is imported, and takes the bytecode of a new ``app.py`` for a change: then the
    server restarts once more than it need.
    """
    stat = sys.modules.get("chalice.cli.filewatch.stat")
    if stat is not None:
        stat.StatFileWatcher._single_pass_poll = _poll_sources


def _poll_sources(watcher: Any, root: str, on_change: Callable[[], None]) -> None:
    found = {
        path: path.stat().st_mtime
        for folder in ("chalicelib", ".chalice", "vendor", "")
        for path in Path(root, folder).glob("**/*.py" if folder == "chalicelib" else "*.*")
        if path.is_file()
    }
    if watcher.__dict__.setdefault("landfall_seen", found) != found:
        on_change()
