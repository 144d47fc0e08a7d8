"""Locks on keys, taken in one order everywhere."""

from collections.abc import Iterable
from zlib import crc32

from sqlalchemy import text
from sqlalchemy.orm import Session

# A lock for every key of a batch of thousands would overflow the server's lock table (64 × max_connections by default),
# so keys share stripes. 256 of them let eight small batches rarely meet, and bound what one large batch holds.
STRIPES = 256
# First half of the two-part advisory key: Landfall's key stripes, apart from anyone else's advisory locks.
_NAMESPACE = 0x1A4DFA11

_TRY_LOCK = text(
    "SELECT stripe FROM unnest(CAST(:stripes AS int[])) AS stripe WHERE pg_try_advisory_xact_lock(:namespace, stripe)"
)
_LOCK = text("SELECT pg_advisory_xact_lock(:namespace, stripe) FROM unnest(CAST(:stripes AS int[])) AS stripe")


def lock_keys(session: Session, names: Iterable[tuple[str, str]]) -> None:
    """Wait for, then hold until the end of the transaction, the locks of these (bucket, key) pairs.

    Every writer of ``object_versions`` or of a file's current version takes them first, all at once and in ascending
    order: two writers then never wait for each other in a circle, and whoever holds a key sees all that was committed
    for it, because READ COMMITTED gives each later statement a fresh snapshot.
    """
    stripes = sorted({_stripe(name) for name in names})
    if stripes:
        session.execute(_LOCK, {"namespace": _NAMESPACE, "stripes": stripes})


def lock_free_keys(session: Session, names: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Hold the locks of those of these keys that nobody else holds, and say which they are. Waits for nobody."""
    names = set(names)
    stripes = sorted({_stripe(name) for name in names})
    got = set(session.scalars(_TRY_LOCK, {"namespace": _NAMESPACE, "stripes": stripes}))
    return {name for name in names if _stripe(name) in got}


def _stripe(name: tuple[str, str]) -> int:
    bucket, key = name
    return crc32(f"{bucket}/{key}".encode()) % STRIPES
