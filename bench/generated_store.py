"""``python -m bench.generated_store COUNT``: a bucket of so many versions that answers listings, made up as they are asked for.

It takes no memory, and a page a millisecond, so that what is measured is the audit and not the store.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

_PAGE = 1000


def key_of(number: int) -> str:
    """Its key. The order of keys is that of numbers."""
    return f"bench/{number // 1000:06}/file {number:09}.bin"


def _first_after(marker: str, total: int) -> int:
    low, high = 0, total
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if key_of(middle) <= marker else (low, middle)
    return low


def page(marker: str, limit: int, total: int) -> bytes:
    """A page of the listing after a key."""
    first = _first_after(marker, total) if marker else 0
    last = min(first + limit, total)
    entries = "".join(
        f"<Version><Key>bench/{number // 1000:06}/file+{number:09}.bin</Key><VersionId>{number:032x}</VersionId>"
        f"<IsLatest>true</IsLatest><LastModified>2026-11-23T12:{number // 60 % 60:02}:{number % 60:02}.000Z</LastModified>"
        f"<ETag>&quot;{number:032x}&quot;</ETag><Size>{number}</Size><StorageClass>STANDARD</StorageClass></Version>"
        for number in range(first, last)
    )
    more = f"<NextKeyMarker>{quote(key_of(last - 1))}</NextKeyMarker>" if last < total else ""
    is_cut = "true" if last < total else "false"
    return f"<ListVersionsResult><IsTruncated>{is_cut}</IsTruncated>{more}{entries}</ListVersionsResult>".encode()


def main(total: int) -> None:
    """Serve until killed; the first line printed is the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
            marker = unquote(query.get("key-marker", [""])[0])
            self._answer(page(marker, int(query.get("max-keys", [_PAGE])[0]), total))

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
