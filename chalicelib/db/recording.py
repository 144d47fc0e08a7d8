"""Recording: a batch of object changes into the three tables, in a constant handful of statements.

1. `locks.lock_keys`: the keys of the batch, in one order.
2. `MERGE`: versions and events, and the files of keys that are new. One statement, because no part reads what another writes.
3. `PURGE`: only if the batch purges whole keys.
4. `CURRENT`: the current version of the other keys, from what is now in the table.
5. `RETIRE_PURGED`, `REVIVE_PURGED`, and step 4 again: only for keys whose file was removed permanently, which may have got a new
   one.

Each step must be a statement of its own, because a statement sees only what was committed, or written by earlier steps,
when it began. If step 2 waited for the locks itself, it could take a key for new that another batch has just recorded. If
step 4 did, two batches that each add a version to one key could both miss the other's. And in one statement with step 2, it
would not see what step 2 writes.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import Kind, ObjectChange, instant
from chalicelib.catalog.keys import display_name
from chalicelib.catalog.merge import fold
from chalicelib.db.arrays import exceptions, plain, rare_texts, texts, unusual
from chalicelib.db.engine import meanwhile, waiting_write
from chalicelib.db.locks import lock_keys
from chalicelib.db.owner_rules import default_owner
from chalicelib.db.recording_statements import CURRENT, MERGE, PURGE, RETIRE_PURGED, REVIVE_PURGED
from chalicelib.ids import uuid7_texts

# A file's id, its state before the batch, and after; None where there is no file.
_FileStates = tuple[str | None, str | None, str | None]
Outcome = Literal["created", "updated", "deleted", "stale", "duplicate"]

_CHANGE_NAMES = {kind: kind.name.lower() for kind in Kind}


class Recorded(NamedTuple):
    """What became of one change.

    Attributes:
        file_id: None if the key has no file: it never held an object that Landfall heard of.
        outcome: ``duplicate``: this very change was recorded before. ``stale``: a later change of the same version is
            known, so it changed nothing. Else what it did to the file.
    """

    change: ObjectChange
    file_id: str | None
    outcome: Outcome


# The triggers on files read `landfall.usage`: see migration 0016.
_PREPARE = waiting_write(
    text("""
SELECT WHERE concat(set_config('landfall.usage', 'later', true), set_config('lock_timeout', :patience, true)) IS NULL
""")
)


def prepare(session: Session, patience_ms: int) -> None:
    """Make this transaction one that records events.

    What it changes of an owner's usage is noted, for the clock to add up, so that no two batches wait for an owner. It
    waits for a lock for at most ``patience_ms``.
    """
    session.execute(_PREPARE, {"patience": str(patience_ms)})


class Offer(NamedTuple):
    """Changes, ready to be recorded. To make one asks the database for nothing.

    Attributes:
        names: bucket and key of each.
        ids: those that new files get.
        columns: as step 2 reads them.
    """

    changes: Sequence[ObjectChange]
    names: Sequence[tuple[str, str]]
    ids: Sequence[str]
    columns: dict[str, str | int]
    now: datetime


def offer(changes: Iterable[ObjectChange], now: datetime) -> Offer:
    """Make changes ready to be recorded ``now``, each once.

    Raises:
        ValueError: a text has a NUL character.
    """
    distinct = list({(c.bucket, c.key, c.version_id, c.rank): c for c in changes}.values())
    names = [(change.bucket, change.key) for change in distinct]
    ids = uuid7_texts(now, len(distinct))
    return Offer(distinct, names, ids, _columns(distinct, names, ids) if distinct else {}, now)


def record_changes(session: Session, changes: Sequence[ObjectChange], now: datetime) -> list[Recorded]:
    """Merge ``changes``, in any order and with any repetition, into the catalogue; then say what each one did.

    Takes the locks of all keys, so it should come early in its transaction and the transaction should end soon after.
    """
    offered = offer(changes, now)
    lock_keys(session, offered.names, with_next=True)
    return record_offer(session, offered)


def record_offer(session: Session, offered: Offer, in_the_meantime: Callable[[], None] | None = None) -> list[Recorded]:
    """The same in a transaction that holds the keys. ``in_the_meantime``: see `chalicelib.db.engine.meanwhile`."""
    distinct, names, ids, columns, now = offered
    if not distinct:
        return []
    merged = session.execute(MERGE, columns | {"now": now}, execution_options=meanwhile(in_the_meantime)).one()
    if (merged.news, merged.rest, merged.files) == (None, None, None):
        return [Recorded(change, identifier, "created") for change, identifier in zip(distinct, ids, strict=True)]
    rest = {place - 1: names[place - 1] for place in merged.rest or ()}
    purged = {name for place, name in rest.items() if distinct[place].kind is Kind.PURGE}
    if purged:
        session.execute(PURGE, {"buckets": [b for b, _ in purged], "keys": [k for _, k in purged]})
    files: dict[tuple[str, str], _FileStates] = {
        name: (identifier, None, "stored") for name, identifier in zip(names, ids, strict=True)
    }
    for place, file_id, before, after, is_purged in merged.files or ():
        files[names[place - 1]] = (file_id, before, after)
        if is_purged:
            rest[place - 1] = names[place - 1]
    if rest:
        files |= _update_files(session, {name: ids[place] for place, name in rest.items()}, now)
    every = range(1, len(distinct) + 1)
    fresh, effective = (every, every) if merged.news is None else (set(places or ()) for places in merged.news)
    return [
        Recorded(change, file[0], _outcome(change, order in fresh, order in effective, file))
        for order, change in enumerate(distinct, 1)
        for file in [files[change.bucket, change.key]]
    ]


def _update_files(
    session: Session, offered: Mapping[tuple[str, str], str], now: datetime, *, settles: bool = True
) -> dict[tuple[str, str], _FileStates]:
    """Step 4, with an id for each key that gets a file; if it ``settles``, also step 5."""
    names = list(offered)
    columns = {
        "buckets": texts([bucket for bucket, _ in names]),
        "keys": texts([key for _, key in names]),
        "ids": plain(offered.values()),
        "names": texts([display_name(key) for _, key in names]),
        "default_owners": rare_texts([default_owner(key) for _, key in names]),
        "count": len(names),
    }
    others = session.execute(CURRENT, columns | {"now": now}).scalar_one() or ()
    files: dict[tuple[str, str], _FileStates] = {name: (offered[name], None, "stored") for name in names}
    files.update((names[place - 1], (identifier, before, after)) for place, identifier, before, after, _ in others)
    purged = [names[place - 1] for place, *_, is_purged in others if is_purged]
    if purged and settles:
        _settle_purged(session, purged, now)
        # Also if nothing has changed: by now other rules may hold than a moment ago.
        files |= _update_files(session, {name: offered[name] for name in purged}, now, settles=False)
    return files


def _settle_purged(session: Session, names: Sequence[tuple[str, str]], now: datetime) -> None:
    """Let purged files go whose keys have got somebody else's object, and bring back those that have got their own."""
    columns = {
        "buckets": texts([bucket for bucket, _ in names]),
        "keys": texts([key for _, key in names]),
        "default_owners": rare_texts([default_owner(key) for _, key in names]),
    }
    session.execute(RETIRE_PURGED, columns)
    session.execute(REVIVE_PURGED, {"buckets": columns["buckets"], "keys": columns["keys"], "now": now})


def _outcome(change: ObjectChange, is_fresh: bool, is_effective: bool, file: _FileStates) -> Outcome:
    if not is_fresh:
        return "duplicate"
    if not is_effective:
        return "stale"
    _, before, after = file
    if change.kind is Kind.PUT:
        return "created" if before != "stored" and after == "stored" else "updated"
    return "updated" if after == "stored" else "deleted"


def _columns(
    changes: Sequence[ObjectChange], names: Sequence[tuple[str, str]], ids: Sequence[str]
) -> dict[str, str | int]:
    """The changes as step 2 reads them, column by column."""
    first = changes[0]
    are_events = [not change.is_observation for change in changes]
    metadata = [None if change.metadata is None else json.dumps(change.metadata) for change in changes]
    return {
        "bucket": first.bucket,
        "buckets": unusual([change.bucket for change in changes], first.bucket),
        "keys": texts([change.key for change in changes]),
        "version_ids": unusual([change.version_id for change in changes], ""),
        "ranks": texts([change.rank for change in changes]),
        "changes": unusual([_CHANGE_NAMES[change.kind] for change in changes], "put"),
        "event_name": first.event_name,
        "event_names": unusual([change.event_name for change in changes], first.event_name),
        "event_times": plain([change.event_time and f"{instant(change.event_time)}Z" for change in changes]),
        "sequencers": texts([change.sequencer for change in changes]),
        "sizes": plain([change.size for change in changes]),
        "etags": texts([change.etag for change in changes]),
        "media_types": rare_texts([change.media_type for change in changes]),
        "metadata": rare_texts(metadata),
        "sha256s": rare_texts([change.sha256 for change in changes]),
        "are_events": exceptions(are_events),
        "events": sum(are_events),
        "follows": rare_texts([change.follows for change in changes]),
        **_folded(changes, names),
        "ids": plain(ids),
        "names": texts([display_name(key) for _, key in names]),
        "default_owners": rare_texts([default_owner(key) for _, key in names]),
        "count": len(changes),
    }


def _folded(changes: Sequence[ObjectChange], names: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The columns that tell what a change is among those of its version, and of its key. With puts of one for each key, all of it
    is the usual."""
    are_puts = all(change.kind is Kind.PUT and change.follows is None for change in changes)
    if are_puts and len(set(names)) == len(names):
        return dict.fromkeys(("leads", "removal_ranks", "held_objects", "are_alone"), exceptions(()))
    states, counts = fold(changes), Counter(names)
    folded = [states[change.bucket, change.key, change.version_id] for change in changes]
    are_alone = [
        change.kind is Kind.PUT and change.follows is None and counts[name] == 1
        for change, name in zip(changes, names, strict=True)
    ]
    return {
        "leads": exceptions([change is (one.put or one.removal) for change, one in zip(changes, folded, strict=True)]),
        "removal_ranks": unusual([state.removal.rank if state.removal else "" for state in folded], ""),
        "held_objects": exceptions([state.held_object for state in folded]),
        "are_alone": exceptions(are_alone),
    }
