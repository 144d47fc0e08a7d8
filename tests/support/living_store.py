"""A versioned bucket in memory that speaks as much of S3's protocol as an audit needs, and writes down what S3 would tell of it.

It is there because emulators take minutes for what a proof needs: a million changes, while others go on writing.
"""

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from random import Random
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.support.notifications import s3_record

_PAGE = 1000


class Version(NamedTuple):
    """A version, or a delete marker: then it has no size."""

    id: str
    size: int | None
    etag: str
    modified: datetime


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that were killed."""


class LivingStore:
    """One bucket. Every change is made at once, and its event returned."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self._versions: dict[str, list[Version]] = {}  # of each key, the oldest first
        self._keys: list[str] = []  # in order
        self._lock = threading.RLock()
        self._numbers = count(1)

    def act(self, random: Random, keys: int) -> dict[str, Any] | None:
        """Do something to one of so many keys; returns its event, or None if there was nothing to do."""
        key, choice = f"{random.randrange(keys) % 97:02}/{random.randrange(keys)}", random.random()
        if choice < 0.75:
            return self.put(key, random.randrange(1000))
        if choice < 0.88:
            return self.put(key, None)
        return self.remove(key, random)

    def put(self, key: str, size: int | None) -> dict[str, Any]:
        """A new version, or, without a size, a delete marker."""
        with self._lock:
            number = next(self._numbers)
            version = Version(f"v{number:012x}", size, f"{number:032x}" if size is not None else "", datetime.now(UTC))
            if key not in self._versions:
                self._versions[key] = []
                insort(self._keys, key)
            self._versions[key].append(version)
        name = "ObjectCreated:Put" if size is not None else "ObjectRemoved:DeleteMarkerCreated"
        return self._event(name, key, version, number)

    def remove(self, key: str, random: Random) -> dict[str, Any] | None:
        """Remove a version of a key for ever."""
        with self._lock:
            versions = self._versions.get(key)
            if not versions:
                return None
            version, number = versions.pop(random.randrange(len(versions))), next(self._numbers)
            if not versions:
                del self._versions[key]
                del self._keys[bisect_right(self._keys, key) - 1]
        return self._event("ObjectRemoved:Delete", key, Version(version.id, None, "", datetime.now(UTC)), number)

    def listed(self) -> set[tuple[Any, ...]]:
        """As `tests.support.listings` has a bucket."""
        with self._lock:
            return {
                (
                    key,
                    one.id,
                    one.size,
                    one.etag if one.size is not None else None,
                    one is versions[-1],
                    one.size is None,
                )
                for key, versions in self._versions.items()
                for one in versions
            }

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve S3; the endpoint."""
        server = _Server(("127.0.0.1", 0), self._handler())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()

    def _event(self, name: str, key: str, version: Version, number: int) -> dict[str, Any]:
        return s3_record(
            name, key, bucket=self.bucket, sequencer=f"{number:016X}", version_id=version.id, size=version.size,
            etag=version.etag or None, time=version.modified,
        )  # fmt: skip

    def page(self, query: dict[str, list[str]]) -> bytes:
        """A page of a listing of versions."""
        prefix = query.get("prefix", [""])[0]
        marker, version_marker = query.get("key-marker", [""])[0], query.get("version-id-marker", [""])[0]
        entries, last = [], ("", "")
        with self._lock:
            start = bisect_right(self._keys, marker) if marker >= prefix else bisect_left(self._keys, prefix)
            if version_marker and start and self._keys[start - 1] == marker:
                start -= 1  # in the middle of this key
            for key in map(self._keys.__getitem__, range(start, len(self._keys))):
                if not key.startswith(prefix):
                    break
                versions = self._versions[key]
                newest_first = list(reversed(versions))
                if version_marker and key == marker:
                    known = [one.id for one in newest_first]
                    newest_first = newest_first[known.index(version_marker) + 1 :] if version_marker in known else []
                for version in newest_first:
                    if len(entries) == _PAGE:
                        return _xml(entries, last)
                    entries.append(_entry(key, version, version is versions[-1]))
                    last = key, version.id
        return _xml(entries, None)

    def has(self, key: str, version_id: str) -> Version | None:
        """A version of a key; None if there is none."""
        with self._lock:
            return next((one for one in self._versions.get(key, []) if one.id == version_id), None)

    def _handler(store) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
                if "versioning" in query:
                    return self._answer(
                        200, b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
                    )
                self._answer(200, store.page(query))

            def do_HEAD(self) -> None:
                parts = urlsplit(self.path)
                key = unquote(parts.path).removeprefix(f"/{store.bucket}/")
                version = store.has(key, parse_qs(parts.query).get("versionId", [""])[0])
                self.send_response(404 if version is None else 405 if version.size is None else 200)
                self.send_header("Content-Length", str(version.size or 0) if version else "0")
                self.end_headers()

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                """Log nothing."""

        return Handler


def _entry(key: str, version: Version, is_latest: bool) -> str:
    kind = "DeleteMarker" if version.size is None else "Version"
    content = "" if version.size is None else f"<ETag>&quot;{version.etag}&quot;</ETag><Size>{version.size}</Size>"
    modified = f"{version.modified:%Y-%m-%dT%H:%M:%S}.000Z"  # as AWS does
    return (
        f"<{kind}><Key>{quote(key)}</Key><VersionId>{version.id}</VersionId><IsLatest>{str(is_latest).lower()}</IsLatest>"
        f"<LastModified>{modified}</LastModified>{content}</{kind}>"
    )


def _xml(entries: list[str], last: tuple[str, str] | None) -> bytes:
    more = ""
    if last is not None:
        more = f"<NextKeyMarker>{quote(last[0])}</NextKeyMarker><NextVersionIdMarker>{last[1]}</NextVersionIdMarker>"
    is_cut = str(last is not None).lower()
    return (
        f"<ListVersionsResult><IsTruncated>{is_cut}</IsTruncated>{more}{''.join(entries)}</ListVersionsResult>".encode()
    )
