"""The use case of inspection: fill in what notifications don't carry. It follows recording and can always be repeated."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

from chalicelib.catalog.changes import InspectionRequest
from chalicelib.db.file_queries import FileDocument
from chalicelib.db.inspection_queue import (
    MAX_TRIES,
    Claim,
    Finding,
    claim_due,
    claim_version,
    request_inspection,
    save_findings,
)
from chalicelib.errors import Conflict, DatabaseUnavailable, LandfallError, NotFound
from chalicelib.services import Transaction, in_transaction
from chalicelib.services.files import get_file
from chalicelib.services.principals import Principal
from chalicelib.store.client import ObjectStore
from chalicelib.store.inspection import inspect_object

_FIRST_RETRY = timedelta(seconds=30)
_READERS = 8
_PATIENCE = timedelta(seconds=10)


def inspect_due(
    transaction: Transaction,
    store: ObjectStore,
    clock: Callable[[], datetime],
    most: int,
    newest_first: bool = False,
    keep_place: bool = False,
) -> list[Finding]:
    """Inspect up to ``most`` versions that are due, several at once, with no transaction open meanwhile.

    A version that can't be read is tried again after 30 s, 1 min, 2 min, … and given up after eight tries, until somebody
    requests it again; one that is gone is not tried again: its removal is on the way. After ten seconds, or the first
    failure of the store, no further one is begun: whoever called has other things to do, and a store that is down would cost
    seconds for each.
    """
    with transaction() as session:
        claims = claim_due(session, clock(), most, newest_first)
    return _inspect(transaction, store, clock, claims, keep_place)


def _inspect(
    transaction: Transaction, store: ObjectStore, clock: Callable[[], datetime], claims: list[Claim], keep_place: bool
) -> list[Finding]:
    if not claims:
        return []
    inspector = _Inspector(store, clock, keep_place)
    with ThreadPoolExecutor(min(_READERS, len(claims))) as pool:
        findings = list(pool.map(inspector.inspect, claims))
    try:
        _save(transaction, findings, clock)
    except DatabaseUnavailable:
        raise
    except Exception:  # noqa: BLE001 - whatever the database refused, it must concern one object only
        for finding in findings:
            _save_or_give_up(transaction, finding, clock)
    return findings


def inspect_again(
    transaction: Transaction,
    store: ObjectStore,
    principal: Principal,
    file_id: UUID,
    clock: Callable[[], datetime],
    keep_place: bool = False,
) -> FileDocument:
    """Inspect a file's current version now, whether it was inspected or given up before; returns the file.

    If S3 doesn't answer, it is tried again as after recording.

    Raises:
        NotFound: there is no such file for this caller, or it was deleted. Conflict: its bytes haven't arrived yet.
    """
    with transaction() as session:
        file = get_file(session, principal, file_id)
        if file["state"] == "pending":
            raise Conflict("The file's bytes have not arrived yet.")
        request = InspectionRequest(file["bucket"], file["key"], file["version_id"], "InspectAgain")
        request_inspection(session, [request], clock())
        claims = claim_version(session, clock(), request)
    _inspect(transaction, store, clock, claims, keep_place)
    with transaction() as session:
        return get_file(session, principal, file_id)


def _save(transaction: Transaction, findings: list[Finding], clock: Callable[[], datetime]) -> None:
    in_transaction(transaction, lambda session: save_findings(session, findings, clock()))


def _save_or_give_up(transaction: Transaction, finding: Finding, clock: Callable[[], datetime]) -> None:
    """Parsing checks what the database is known to refuse; this is for what nobody thought of."""
    try:
        _save(transaction, [finding], clock)
    except DatabaseUnavailable:
        raise
    except Exception:  # noqa: BLE001 - see above
        _save(transaction, [Finding(finding.claim, problem="The database refused what was found.")], clock)


class _Inspector:
    """Inspects claims until time is up or the store fails; hands the rest back as due again in half a minute."""

    def __init__(self, store: ObjectStore, clock: Callable[[], datetime], keep_place: bool) -> None:
        self._store, self._clock, self._keep_place = store, clock, keep_place
        self._deadline = clock() + _PATIENCE
        self._has_failed = False

    def inspect(self, claim: Claim) -> Finding:
        if self._has_failed or self._clock() > self._deadline:
            return Finding(claim, retry_at=self._clock() + _FIRST_RETRY, is_try=False)
        try:
            found = inspect_object(self._store, claim.bucket, claim.key, claim.version_id, self._keep_place)
        except NotFound:
            return Finding(claim)
        except LandfallError as error:
            self._has_failed = True
            delay = _FIRST_RETRY * 2 ** (claim.tries - 1)
            retry_at = self._clock() + delay if claim.tries < MAX_TRIES else None
            return Finding(claim, retry_at=retry_at, problem=str(error))
        media_type = found.pop("media_type", None)
        return Finding(claim, found, media_type, found.get("size"))
