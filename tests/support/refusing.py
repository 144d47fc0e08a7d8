"""A tiny object store that answers every request alike: with a refusal, or with an error on its side."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class RefusingStore:
    """S3 at ``url``. It answers a HEAD with 200, so that its bucket is there, and all else with ``status`` and ``code``."""

    def __init__(self, status: int = 403, code: str = "AccessDenied") -> None:
        self.status, self.code = status, code
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator["RefusingStore"]:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        yield self
        self._server.shutdown()
        self._server.server_close()

    def _handler(store) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _refuse(self) -> None:
                store.requests.append(f"{self.command} {self.path}")
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = f"<Error><Code>{store.code}</Code><Message>No.</Message></Error>".encode()
                is_head = self.command == "HEAD"
                self.send_response(200 if is_head else store.status)
                self.send_header("Content-Length", "0" if is_head else str(len(body)))
                self.end_headers()
                self.wfile.write(b"" if is_head else body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _refuse

            def log_message(self, *arguments: Any) -> None:
                """Log nothing."""

        return Handler
