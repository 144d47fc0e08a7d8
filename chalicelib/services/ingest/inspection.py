"""Inspection: fill in what notifications don't carry. It follows recording and can always be repeated."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

from chalicelib.catalog.changes import InspectionRequest
from chalicelib.catalog.files import File
from chalicelib.catalog.objects import Location
from chalicelib.db.inspection_queue import (
    MAX_TRIES,
    Claim,
    Finding,
    claim_due,
    claim_version,
    request_given_up,
    request_inspection,
    save_findings,
)
from chalicelib.errors import DatabaseUnavailable, LandfallError, NotFound, Refused
from chalicelib.services.context import Context
from chalicelib.services.files.reading import get_file, get_stored_file
from chalicelib.services.ingest.locking import lock_version

_FIRST_RETRY = timedelta(seconds=30)
_READERS = 8
_PATIENCE = timedelta(seconds=10)
_REQUESTED_AT_ONCE = 1000


def inspect_due(ctx: Context, limit: int, newest_first: bool = False) -> list[Finding]:
    """Inspect up to ``limit`` versions that are due, several at once, with no transaction open meanwhile.

    A version that can't be read is tried again after 30 s, 1 min, 2 min, … and given up after eight tries, until somebody
    requests it again. A version that is gone, or in whose place another object has come, is not tried again: its event is on
    its way, or was lost, which `chalicelib.services.truth.healing` settles.

    After ten seconds, or after the first failure of the store, no further version is begun: the caller has other things
    to do, and a store that is down would cost seconds for each version.
    """
    with ctx.transaction() as tx:
        claims = claim_due(tx.session, tx.now, limit, newest_first)
    return _inspect(ctx, claims)


def inspect_again(ctx: Context, file_id: UUID) -> File:
    """Inspect a file's current version now, whether it was inspected or given up before; returns the file.

    If S3 doesn't answer, it is tried again as after recording.

    Raises:
        NotFound: there is no such file for this caller, or it was deleted. Conflict: its bytes haven't arrived yet.
    """
    with ctx.transaction() as tx:
        file = get_stored_file(tx, file_id)
        request = InspectionRequest(file.bucket, file.key, file.version_id or "", "InspectAgain")
        with tx.as_landfall():  # members don't write versions
            request_inspection(tx.session, [request], tx.now)
            claims = claim_version(tx.session, tx.now, request)
    _inspect(ctx, claims)
    with ctx.transaction() as tx:
        return get_file(tx, file_id)


def inspect_all_again(ctx: Context) -> int:
    """Request every inspection that was given up, some at a time; returns how many."""
    requested = 0
    while True:
        with ctx.transaction() as tx:
            some = request_given_up(tx.session, tx.now, _REQUESTED_AT_ONCE)
        requested += some
        if some < _REQUESTED_AT_ONCE:
            return requested


def _inspect(ctx: Context, claims: list[Claim]) -> list[Finding]:
    if not claims:
        return []
    inspector = _Inspector(ctx)
    with ThreadPoolExecutor(min(_READERS, len(claims))) as pool:
        findings = list(pool.map(inspector.inspect, claims))
    try:
        _save(ctx, findings)
    except DatabaseUnavailable:
        raise
    except Exception:  # noqa: BLE001 - whatever the database refused, it must concern one object only
        for finding in findings:
            _save_or_give_up(ctx, finding)
    return findings


def _save(ctx: Context, findings: list[Finding]) -> None:
    ctx.in_transaction(lambda tx: save_findings(tx.session, findings, tx.now))


def _save_or_give_up(ctx: Context, finding: Finding) -> None:
    """Save one finding; if the database refuses it, give the inspection up.

    Parsing checks what the database is known to refuse. This is for what nobody has foreseen.
    """
    try:
        _save(ctx, [finding])
    except DatabaseUnavailable:
        raise
    except Exception:  # noqa: BLE001 - see above
        _save(ctx, [Finding(finding.claim, problem="The database refused what was found.")])


class _Inspector:
    """Inspects claims until time is up or the store fails; hands the rest back as due again in half a minute."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._store = ctx.store  # here, because several threads at once would each connect one
        self._deadline = ctx.now + _PATIENCE
        self._has_failed = self._has_read = False
        self._refused = 0

    def inspect(self, claim: Claim) -> Finding:
        if self._has_failed or self._ctx.now > self._deadline:
            return Finding(claim, retry_at=self._ctx.now + _FIRST_RETRY, is_try=False)
        from chalicelib.store.inspection import inspect_object  # saves 10 ms where nothing is inspected

        keep_place = self._ctx.settings.keep_place
        try:
            lock_version(self._ctx, Location(claim.bucket, claim.key), claim.version_id)
            found = inspect_object(self._store, claim.bucket, claim.key, claim.version_id, keep_place)
        except NotFound:
            return Finding(claim)
        except LandfallError as error:
            self._note(error)
            delay = _FIRST_RETRY * 2 ** (claim.tries - 1)
            retry_at = self._ctx.now + delay if claim.tries < MAX_TRIES else None
            return Finding(claim, retry_at=retry_at, problem=str(error))
        if claim.etag and claim.etag != found.etag:
            return Finding(claim)  # what was found is about another object
        self._has_read = True
        return Finding(claim, found.facts, found.media_type, found.size)

    def _note(self, error: LandfallError) -> None:
        """What S3 refuses, as for want of the right to a key of KMS, is about this object, and the others aren't kept waiting;
        unless it refuses everything."""
        self._refused += 1
        is_about_all = not isinstance(error, Refused) or (not self._has_read and self._refused >= _READERS)
        self._has_failed = self._has_failed or is_about_all
