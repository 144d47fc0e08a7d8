"""The whole story of a key or a file: what clients did, what was delivered, what the logs say, and what is in the tables."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, text

from chaos.stack import Stack
from chaos.truth import Difference

_LONGEST_LINE = 2500
_MOST = 40  # stories of a run
_TIME = re.compile(r'"time": "([^"]+)"')

_IDS = text("""
SELECT id::text, key FROM files WHERE (bucket = :bucket AND key = :key) OR id = ANY(CAST(:ids AS uuid[]))
UNION SELECT file_id::text, key FROM file_places WHERE (bucket = :bucket AND key = :key) OR file_id = ANY(CAST(:ids AS uuid[]))
""")
_ROWS = {
    "files": "(bucket = :bucket AND key = ANY(:keys)) OR id = ANY(CAST(:ids AS uuid[]))",
    "file_places": "file_id = ANY(CAST(:ids AS uuid[]))",
    "object_versions": "bucket = :bucket AND key = ANY(:keys)",
    "file_events": "bucket = :bucket AND key = ANY(:keys)",
    "uploads": "file_id = ANY(CAST(:ids AS uuid[]))",
    "jobs": "EXISTS (SELECT FROM unnest(CAST(:ids AS text[])) AS i WHERE strpos(r::text, i) > 0)",
    "audit_findings": "key = ANY(:keys)",
}


@dataclass(frozen=True)
class _Subject:
    """A key, or all keys that a file has had; and the files that have been there."""

    bucket: str
    keys: frozenset[str]
    file_ids: frozenset[str]

    @property
    def terms(self) -> set[str]:
        """How the lines of logs and journals may name it."""
        named = {term for key in self.keys for term in (key, json.dumps(key)[1:-1], quote(key), repr(key)[1:-1])}
        return named | self.file_ids


def tell(stack: Stack, found: Iterable[Difference]) -> dict[Path, list[Difference]]:
    """Write a story for each key or file that differs, as far as there are not too many; returns what each is about."""
    told: dict[_Subject, list[Difference]] = {}
    with stack.engine.connect() as connection:
        for difference in found:
            if difference.key or difference.file_id:
                told.setdefault(_subject(connection, stack, difference), []).append(difference)
        lines = list(_lines(stack.home)) if told else []
        written = {}
        for number, (subject, about) in enumerate(list(told.items())[:_MOST], 1):
            path = stack.home / "stories" / f"{number:02}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(_story(stack, connection, subject, about, lines)))
            written[path] = about
    return written


def _subject(connection: Connection, stack: Stack, difference: Difference) -> _Subject:
    bucket = difference.bucket or stack.buckets[0]
    ids = [difference.file_id] if difference.file_id else []
    rows = connection.execute(_IDS, {"bucket": bucket, "key": difference.key, "ids": ids}).all()
    keys = {difference.key, *(key for _, key in rows)} - {""}
    return _Subject(bucket, frozenset(keys), frozenset([*ids, *(file_id for file_id, _ in rows)]))


def _story(
    stack: Stack, connection: Connection, subject: _Subject, about: list[Difference], lines: list[tuple[str, str, str]]
) -> Iterator[str]:
    yield from (difference.sentence for difference in about)
    yield f"\n=== {subject.bucket} {sorted(subject.keys)}, files {sorted(subject.file_ids)}\n"
    terms = subject.terms
    mine = [line for line in lines if any(term in line[2] for term in terms)]
    # A line of the controller is never about a key, and always of interest.
    all_of_it = sorted(chain(mine, (line for line in lines if line[1] == "controller.jsonl")))
    yield from (f"{time} {who}: {line[:_LONGEST_LINE]}" for time, who, line in all_of_it)
    values = {"bucket": subject.bucket, "keys": list(subject.keys), "ids": list(subject.file_ids)}
    for table, condition in _ROWS.items():
        query = text(f"SELECT row_to_json(r) FROM {table} AS r WHERE {condition}")
        yield f"\n--- {table}"
        yield from (json.dumps(row, ensure_ascii=False) for row in connection.execute(query, values).scalars())
    yield "\n--- S3"
    for key in sorted(subject.keys):
        yield from _listed(stack, subject.bucket, key)


def _listed(stack: Stack, bucket: str, key: str) -> Iterator[str]:
    answer: dict[str, Any] = stack.s3.list_object_versions(Bucket=bucket, Prefix=key)
    for kind in ("Versions", "DeleteMarkers"):
        yield from (f"{kind[:-1]} {entry}" for entry in answer.get(kind, []) if entry["Key"] == key)


def _lines(home: Path) -> Iterator[tuple[str, str, str]]:
    """Time, source and text of every line in journals and logs. A line without a time has that of the one before it."""
    for path in (*home.glob("journal/*"), *home.glob("logs/*.log"), *home.glob("logs/kept/*")):
        time = ""
        for line in path.read_text(errors="replace").splitlines():
            if match := _TIME.search(line[:200]):
                time = match[1]
            yield time, path.name, line
