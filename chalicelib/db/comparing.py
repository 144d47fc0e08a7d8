"""Comparing a page of a bucket's listing with the catalogue, in one pass over both.

The statement finds the keys that may differ; what differs in them is for `chalicelib.catalog.comparison` to say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import instant
from chalicelib.catalog.comparison import KnownVersion
from chalicelib.catalog.objects import ListedVersion
from chalicelib.db.engine import prepared_write


class Snapshot(NamedTuple):
    """Which transactions had committed at a moment: all numbers below ``next`` without those ``running``.

    Numbers are as rows carry them, without their epoch.
    """

    next: int
    running: tuple[int, ...]


class Keys(NamedTuple):
    """The keys of a bucket that begin with ``prefix``, above ``after``, up to ``until`` (None: to the end)."""

    bucket: str
    prefix: str
    after: str
    until: str | None


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What the catalogue knows of a key. ``is_new``: some of it was written after the snapshot."""

    versions: dict[str, KnownVersion]
    is_new: bool


# Above all keys, which have 1,024 bytes at most.
HIGHEST = "\U0010ffff" * 257

_SNAPSHOT = text("SELECT CAST(pg_current_snapshot() AS text)")

# Both sides have a key's versions in their order, the oldest first, with their place in it. A version id names a version, so
# that its payload is compared only to find what was recorded wrongly. Without one, another object may have come with the same
# bytes: then it was stored later than the catalogue knows. Listed times are rounded down.
# An emitter may leave size or ETag out, so that null says nothing.
# Bounds are always bound: a plan that serves all values takes `:until IS NULL OR key <= :until` for no bound of an index, and
# reads to the end of the bucket.
# The answer is JSON, because the driver reads an array letter by letter.
_DIFFERING = prepared_write(
    text("""
WITH listed AS MATERIALIZED (
    SELECT key, coalesce(version_id, '') AS version_id, coalesce(etag, '') AS etag, size, is_marker, modified, place
    FROM unnest(
        string_to_array(:keys, :end), string_to_array(:version_ids, :end), string_to_array(:etags, :end),
        CAST(:sizes AS bigint[]), CAST(:markers AS boolean[]), CAST(:modified AS timestamptz[]), CAST(:places AS bigint[])
    ) AS l (key, version_id, etag, size, is_marker, modified, place)
), known AS (
    SELECT key, version_id, etag, size, is_delete_marker, stored_at,
        row_number() OVER (PARTITION BY key ORDER BY put_rank, version_id) AS place
    FROM object_versions
    WHERE bucket = :bucket AND alive AND key > :after AND key <= coalesce(CAST(:until AS text), :highest)
        AND key >= :prefix AND key < coalesce(CAST(:beyond AS text), :highest)
)
SELECT to_json(array_agg(DISTINCT coalesce(l.key, k.key)))
FROM listed AS l FULL JOIN known AS k ON k.key = l.key AND k.place = l.place
WHERE (l.version_id = k.version_id AND l.is_marker = k.is_delete_marker
    AND coalesce(l.size = k.size, true) AND coalesce(l.etag = nullif(k.etag, ''), true)
    AND (l.version_id <> '' OR k.stored_at IS NULL OR k.stored_at >= l.modified)) IS NOT TRUE
""")
)

# A row's xmin is the transaction that has written it last. Numbers start again after 2^32, so that they are compared in a
# circle: a row from before half a round counts as new. That costs one more look at its key.
# `OFFSET 0` has each key looked up by itself: a join may read the whole bucket, if the planner takes it to be small.
# All as one JSON value: the driver takes 17 µs for a row's time alone.
_KNOWN = prepared_write(
    text("""
SELECT json_agg(json_build_array(
    v.key, v.version_id, v.put_rank, v.removal_rank, v.alive, v.is_delete_marker, v.size, v.etag, v.stored_at,
    ((v.number - :next) & 4294967295) < 2147483648 OR v.number = ANY(CAST(:running AS bigint[]))))
FROM unnest(string_to_array(:keys, :end)) AS t (key)
CROSS JOIN LATERAL (
    SELECT *, CAST(CAST(xmin AS text) AS bigint) AS number FROM object_versions WHERE bucket = :bucket AND key = t.key OFFSET 0
) AS v
""")
)

# What ends a text in a list of texts, if no text has it. Postgres splits such a list many times faster than it reads JSON.
_ENDS = ("\x1f", "\x1e", "\x01", "\x02", "\ue000", "\ue001", "\uf8ff")


def take_snapshot(session: Session) -> Snapshot:
    """Which transactions have committed by now."""
    _, following, running = session.execute(_SNAPSHOT).scalar_one().split(":")
    return Snapshot(_as_in_rows(following), tuple(_as_in_rows(one) for one in running.split(",") if one))


def find_differing(session: Session, keys: Keys, listed: Sequence[tuple[ListedVersion, int]]) -> list[str]:
    """The keys that may differ from what is listed: versions with their places in their keys' histories, from 1."""
    names = [version.key for version, _ in listed]
    values = {
        **_texts(keys=names, version_ids=[v.version_id for v, _ in listed], etags=[v.etag or "" for v, _ in listed]),
        "sizes": _array("NULL" if version.size is None else str(version.size) for version, _ in listed),
        "markers": _array("t" if version.is_marker else "f" for version, _ in listed),
        "modified": _array(f"{instant(version.modified)}Z" for version, _ in listed),
        "places": _array(str(place) for _, place in listed),
        **keys._asdict(),
        "beyond": beyond(keys.prefix),
        "highest": HIGHEST,
    }
    return session.execute(_DIFFERING, values).scalar_one() or []


def known_keys(session: Session, bucket: str, keys: Sequence[str], looked: Snapshot) -> dict[str, KnownKey]:
    """What the catalogue knows of keys, and whether it was the same in a snapshot."""
    if not keys:
        return {}
    values = {**_texts(keys=keys), "bucket": bucket, "next": looked.next, "running": list(looked.running)}
    rows: dict[str, dict[str, KnownVersion]] = {}
    new = set()
    for key, *fields, stored_at, is_new in session.execute(_KNOWN, values).scalar_one() or ():
        versions = rows.setdefault(key, {})
        fields.append(stored_at and datetime.fromisoformat(stored_at))
        version = KnownVersion(*fields)
        versions[version.version_id] = version
        if is_new:
            new.add(key)
    return {key: KnownKey(versions, key in new) for key, versions in rows.items()}


def _as_in_rows(number: str) -> int:
    return int(number) & 0xFFFFFFFF


def _texts(**lists: Iterable[str]) -> dict[str, str]:
    """Lists of texts as one text each, and the ``end`` between them."""
    joined = "".join(map("".join, lists.values()))
    end = next(end for end in _ends() if end not in joined)
    # A list of one empty text becomes the list of none. The statements then read null for it.
    return {name: end.join(values) for name, values in lists.items()} | {"end": end}


def _array(values: Iterable[str]) -> str:
    """An array as Postgres reads it. The driver takes several times longer."""
    return f"{{{','.join(values)}}}"


def _ends() -> Iterable[str]:
    yield from _ENDS
    yield from (
        chr(number) for number in range(0x100000, 0x10FFFE)
    )  # a page has fewer characters than there are of these


def beyond(prefix: str) -> str | None:
    """The first text above all that begin with ``prefix``; None if there is none. As Postgres compares: by code points."""
    for length in range(len(prefix), 0, -1):
        number = ord(prefix[length - 1]) + 1
        if number == 0xD800:
            number = 0xE000  # above the surrogates, which no text has
        if number <= 0x10FFFF:
            return prefix[: length - 1] + chr(number)
    return None
