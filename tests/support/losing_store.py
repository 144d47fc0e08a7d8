"""A way to an object store on which answers are lost: what was asked for is done, and who has asked never learns of it."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_OF_A_CONNECTION = {"connection", "transfer-encoding", "content-length"}


class LosingStore:
    """S3 at ``url``, which passes requests on to another one."""

    def __init__(self, behind: str) -> None:
        """``behind`` is the URL of the other one. Requests are refused whose paths hold ``refused``, if that is set."""
        self._host = urlsplit(behind).netloc
        self._losing: tuple[str, bool, int] = "", False, 0
        self.lost: list[str] = []
        self.refused = ""
        self._breaks = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def lose(self, method: str, *, then_shut: bool = False, times: int = 1) -> None:
        """Lose the answers to the next requests with this method. ``then_shut``: afterwards every connection is refused."""
        self._losing = method, then_shut, times

    def break_off(self) -> None:
        """Break off in the middle of the next body."""
        self._breaks = True

    @contextmanager
    def running(self) -> Iterator["LosingStore"]:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        yield self
        self._server.shutdown()
        self._server.server_close()

    def _loses(self, request: str) -> bool:
        method, then_shut, times = self._losing
        if not times or not request.startswith(method):
            return False
        self._losing = method, then_shut, times - 1
        self.lost.append(request)
        if then_shut:
            self._server.shutdown()
            self._server.server_close()
        return True

    def _handler(store) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if store.refused and store.refused in self.path:
                    self.send_error(503)
                    return
                behind = http.client.HTTPConnection(store._host, timeout=10)
                behind.request(self.command, self.path, body, dict(self.headers))
                answer = behind.getresponse()
                told = answer.read()
                behind.close()
                if store._loses(f"{self.command} {self.path}"):
                    self.close_connection = True
                    return
                self._answer(answer, told)

            def _answer(self, answer: http.client.HTTPResponse, told: bytes) -> None:
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in _OF_A_CONNECTION:
                        self.send_header(name, value)
                length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(told))
                self.send_header("Content-Length", length)
                self.end_headers()
                if store._breaks and self.command == "GET":
                    store._breaks, self.close_connection, told = False, True, told[: len(told) // 2]
                self.wfile.write(told)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

            def log_message(self, *arguments: Any) -> None:
                """Log nothing."""

        return Handler
