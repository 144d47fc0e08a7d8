"""Second looks: keys that a listing alone can't decide are asked for one by one.

The catalogue is read first, then the store: so what is recorded meanwhile is newer than all that is found. Before a version is
recorded as gone, a request for just this version must say so. If more would be buried than the brake allows, the audit stops.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from chalicelib import telemetry
from chalicelib.catalog.audits import NEVER_BRAKED, Audit, DriftKind
from chalicelib.catalog.changes import Kind, ObjectChange
from chalicelib.catalog.comparison import KnownVersion, compare, contradicts
from chalicelib.catalog.objects import Location
from chalicelib.catalog.observations import observe_unlisted
from chalicelib.db import audits, findings
from chalicelib.db.audit_ranges import Counts
from chalicelib.db.findings import Finding
from chalicelib.db.known_versions import known_at
from chalicelib.db.locks import lock_keys
from chalicelib.db.recording import record_changes
from chalicelib.db.reviving import revive
from chalicelib.errors import Refused, StoreUnavailable
from chalicelib.services.context import Context, Transaction
from chalicelib.services.truth.allowances import Allowance
from chalicelib.store.versions import History, Versions

_KEYS_AT_ONCE = 200
_READERS = 8
BRAKED = "More would be recorded as gone than the brake allows, so the audit has stopped."


@dataclass(frozen=True, slots=True)
class Look:
    """What a second look at a key has found."""

    location: Location
    changes: list[ObjectChange]
    gone: list[ObjectChange]
    revived: list[KnownVersion]
    known: dict[str, KnownVersion]
    is_refused: bool = False

    @property
    def findings(self) -> list[Finding]:
        """All that differs. Nothing is sure of a key that S3 refuses to tell of."""
        key = self.location.key
        if self.is_refused:
            return [Finding(key, "", "unsure", is_settled=True)]
        known = {version_id for version_id, row in self.known.items() if row.put_rank}
        kinds: dict[str, DriftKind] = {
            change.version_id: "different" if change.version_id in known else "missing" for change in self.changes
        }
        kinds |= dict.fromkeys((row.version_id for row in self.revived), "different")
        kinds |= dict.fromkeys((change.version_id for change in self.gone), "gone")
        return [Finding(key, version_id, kind, is_settled=True) for version_id, kind in kinds.items()]


def look_again(ctx: Context, audit: Audit, allowance: Allowance) -> bool:
    """Look at some keys again and record what differs; returns whether there were any, and the audit goes on.

    Raises:
        StoreUnavailable, DatabaseUnavailable.
    """
    grace = 0 if audit.repairs else audit.grace_seconds
    with ctx.transaction() as tx:
        if _brakes(tx, audit, 0):
            return True
        keys = findings.claim_keys(tx.session, audit.id, grace, _KEYS_AT_ONCE)
    if not keys:
        return False
    allowance.spend(len(keys))
    try:
        looks = look_at(ctx, [Location(audit.bucket, key) for key in keys], or_leave=True)
    except StoreUnavailable:
        with ctx.transaction() as tx:
            findings.release_keys(tx.session, audit.id, keys)
        raise
    with ctx.transaction() as tx:
        if _brakes(tx, audit, sum(len(look.gone) for look in looks), keys):
            return True
        # A lease may have ended meanwhile, and another worker may have settled a key.
        keys = findings.still_open(tx.session, audit.id, keys)
        looks = [look for look in looks if look.location.key in keys]
        if audit.repairs:
            record_looks(tx, looks)
        found = [finding for look in looks for finding in look.findings]
        kinds = [finding.kind for finding in found]
        counts = Counts(0, kinds.count("missing"), kinds.count("different"), kinds.count("gone"))
        counts = replace(counts, recorded=len(kinds) - kinds.count("unsure") if audit.repairs else 0)
        findings.settle_keys(tx.session, audit.id, keys, found, counts)
    return True


def _brakes(tx: Transaction, audit: Audit, burying: int, keys: Sequence[str] = ()) -> bool:
    """Whether a repair would bury too much, or has ended meanwhile. Locks the audit: two workers together stay within bounds."""
    now = audits.lock_audit(tx.session, audit.id)
    if now is None or now.state != "settling":
        return True
    buried = now.gone - findings.count_open_gone(tx.session, audit.id)
    expected = buried + burying + findings.count_to_bury(tx.session, now, keys)
    if not audit.repairs or expected <= max(NEVER_BRAKED, now.brake * (now.compared + expected)):
        return False
    audits.set_state(tx.session, audit.id, tx.now, state="braked", problem=BRAKED, finished_at=tx.now)
    return True


def look_at(ctx: Context, locations: Sequence[Location], *, or_leave: bool = False) -> list[Look]:
    """Compare single keys with what S3 says of them now.

    ``or_leave``: leave keys as they are that S3 refuses to tell of, as for want of the right to a key of KMS.

    Raises:
        StoreUnavailable, DatabaseUnavailable.
    """
    with ctx.transaction() as tx, tx.as_landfall():  # the caller may not see all that is known of a key
        known = known_at(tx.session, locations)
    versions = ctx.store.versions  # here, because several threads at once would each connect a store
    with ThreadPoolExecutor(min(_READERS, len(locations))) as pool:
        return list(pool.map(lambda location: _look(versions, location, known.get(location, {}), or_leave), locations))


def _look(versions: Versions, location: Location, known: dict[str, KnownVersion], or_leave: bool) -> Look:
    history = versions.of_key(*location)  # whose refusal is not about this key alone
    try:
        return _look_at(versions, location, known, history)
    except Refused as error:
        if not or_leave:
            raise
        telemetry.log("warning", "a key could not be asked for", bucket=location.bucket, key=location.key, error=error)
        return Look(location, [], [], [], known, is_refused=True)


def _look_at(versions: Versions, location: Location, known: dict[str, KnownVersion], history: History) -> Look:
    comparison = compare(location, history, known, is_later=True)
    revived = [row for row in comparison.revived if versions.is_there(*location, row.version_id)]
    if revived:
        names = {row.version_id for row in revived}
        alive = {
            version_id: replace(row, removal_rank="", alive=True) if version_id in names else row
            for version_id, row in known.items()
            if row.put_rank or version_id not in names
        }
        comparison = compare(location, history, alive, is_later=True)
    # Where a later version is above it, an answer about the key alone would be about that one.
    asked_for = None if history and not history[-1].version_id else "null"
    changes = [
        change
        for change in comparison.changes
        if not contradicts(change, known)
        or versions.holds(*location, None if change.kind is Kind.MARKER else change.etag, asked_for)
    ]
    gone = [row for row in comparison.unlisted if not versions.is_there(*location, row.version_id)]
    removals = [observe_unlisted(*location, row.version_id, row.put_rank) for row in gone]
    return Look(location, changes, removals, revived, known)


def record_looks(tx: Transaction, looks: Sequence[Look]) -> None:
    """Record what differs."""
    revived = [(look.location, row) for look in looks for row in look.revived]
    changes = [change for look in looks for change in (*look.changes, *look.gone)]
    # So that their files become current.
    changes += [replace(row.put_at(location), is_observation=True) for location, row in revived if row.put_rank]
    if not changes:
        return
    lock_keys(tx.session, {(change.bucket, change.key) for change in changes})
    revive(tx.session, revived)
    record_changes(tx.session, changes, tx.now)
