"""A tiny object store whose answers a test scripts: listings that break off, that come again, or that say too little."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit


def listing(*keys: str, truncated: bool = False, modified: str = "2026-11-23T12:00:00.000Z", etag: str = "e") -> bytes:
    """A page that lists objects without versions."""
    entries = "".join(
        f"<Version><Key>{quote(key)}</Key><VersionId>null</VersionId><IsLatest>true</IsLatest>"
        f"<LastModified>{modified}</LastModified><ETag>&quot;{etag}&quot;</ETag><Size>1</Size></Version>"
        for key in keys
    )
    more = f"<NextKeyMarker>{quote(keys[-1])}</NextKeyMarker>" if truncated and keys else ""
    text = (
        f"<ListVersionsResult><IsTruncated>{str(truncated).lower()}</IsTruncated>{more}{entries}</ListVersionsResult>"
    )
    return text.encode()


class LyingStore:
    """S3 at ``url``. Listings are answered with ``pages`` in turn, the last one again and again: a body with status 200, or a
    status. A HEAD is answered with ``head``. ``cut`` bodies are half as long as they say."""

    def __init__(self, *pages: bytes | int, head: int = 404, cut: int = 0) -> None:
        self.pages, self.head, self.cut = list(pages), head, cut
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator["LyingStore"]:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        yield self
        self._server.shutdown()
        self._server.server_close()

    def _handler(store) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                store.requests.append(self.path)
                if "versions" not in parse_qs(urlsplit(self.path).query, keep_blank_values=True):
                    return self._answer(200, b"<VersioningConfiguration/>")
                page = store.pages.pop(0) if len(store.pages) > 1 else store.pages[0]
                if isinstance(page, int):
                    return self._answer(page, b"<Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>")
                return self._answer(200, page)

            def do_HEAD(self) -> None:
                store.requests.append(f"HEAD {self.path}")
                self.send_response(store.head)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if store.cut:
                    store.cut -= 1
                    self.wfile.write(body[: len(body) // 2])
                    self.close_connection = True
                    return
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                """Log nothing."""

        return Handler
