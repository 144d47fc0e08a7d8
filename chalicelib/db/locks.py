"""Locks, taken in one order everywhere, so that no two transactions wait for each other in a circle:

1. sessions;
2. keys, in the order of their stripes, to write ``object_versions`` or more than one file;
3. rows of versions, then of files, in the order of their ids;
4. usage, which the triggers on files lock in the order of its key, at the end of each statement;
5. rows of uploads.
"""

from collections.abc import Collection, Iterable
from uuid import UUID
from zlib import crc32

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.db.arrays import plain
from chalicelib.db.engine import prepared_write, waiting_write

# A lock for every key of a batch of thousands would overflow the server's lock table (64 × max_connections by default),
# so keys share stripes. With 256 of them, eight small batches rarely meet, and one large batch holds no more than 256
# locks.
STRIPES = 256
# First half of the two-part advisory key: Landfall's key stripes, apart from anyone else's advisory locks.
_NAMESPACE = 0x1A4DFA11

_TRY_LOCK = text(
    "SELECT stripe FROM unnest(CAST(:stripes AS int[])) AS stripe WHERE pg_try_advisory_xact_lock(:namespace, stripe)"
)
# Without rows: the driver would decode one for each lock, and what waits for the next statement can't have any.
_LOCK_ALL = text("""
SELECT WHERE (
    SELECT count(*) FROM unnest(CAST(:stripes AS int[])) AS stripe, pg_advisory_xact_lock(:namespace, stripe)) < 0
""")
# As one array each: a statement takes 65,535 values, and a session may have more files.
_KEYS_OF = text("SELECT bucket, key FROM files WHERE id = ANY(CAST(:ids AS uuid[]))")
_LOCK_ROWS = text("SELECT id FROM files WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE")
_LOCK, _LOCK_WITH_NEXT = prepared_write(_LOCK_ALL), waiting_write(_LOCK_ALL)


def lock_keys(session: Session, names: Iterable[tuple[str, str]], *, with_next: bool = False) -> None:
    """Wait for, then hold until the end of the transaction, the locks of these (bucket, key) pairs.

    Every writer of ``object_versions`` or of a file's current version takes them first, all at once and in ascending
    order. So two writers never wait for each other in a circle. And the holder of a key sees all that was committed for
    it, because READ COMMITTED gives each later statement a fresh snapshot.

    ``with_next``: the locks are taken together with the statement that follows, and before it. That saves a way to the server.
    """
    stripes = sorted({_stripe(name) for name in names})
    if stripes:
        session.execute(_LOCK_WITH_NEXT if with_next else _LOCK, {"namespace": _NAMESPACE, "stripes": plain(stripes)})


def lock_all_keys(session: Session) -> None:
    """The same for all keys that there are: for a large batch whose keys aren't all known yet. It is sent with what follows."""
    session.execute(_LOCK_WITH_NEXT, {"namespace": _NAMESPACE, "stripes": plain(range(STRIPES))})


def lock_files(session: Session, file_ids: Collection[UUID], also: Iterable[tuple[str, str]] = ()) -> None:
    """Lock these files: first their keys, as recording does, then their rows.

    ``also``: further keys that this transaction is going to record. They differ from the files' keys if a file has
    moved.
    """
    ids = {"ids": plain(file_ids)}
    rows = session.execute(_KEYS_OF, ids)
    lock_keys(session, [*((row.bucket, row.key) for row in rows), *also])
    session.execute(_LOCK_ROWS, ids)


def lock_free_keys(session: Session, names: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Lock those of these keys that nobody else holds, without waiting for any; returns which they are."""
    names = set(names)
    stripes = sorted({_stripe(name) for name in names})
    got = set(session.scalars(_TRY_LOCK, {"namespace": _NAMESPACE, "stripes": stripes}))
    return {name for name in names if _stripe(name) in got}


def _stripe(name: tuple[str, str]) -> int:
    bucket, key = name
    return crc32(f"{bucket}/{key}".encode()) % STRIPES
