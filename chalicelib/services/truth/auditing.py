"""Audits: a bucket is compared with the catalogue, and a repair records what differs. Nothing is ever deleted from S3.

An audit goes over the bucket twice. Any number of workers compare ranges of keys with pages of a listing: see
`chalicelib.services.truth.ranges`. Or they load an S3 Inventory and compare with that: see `chalicelib.services.truth.loading`
and `chalicelib.services.truth.inventories`. What can't be decided there is looked at again, key by key: see
`chalicelib.services.truth.second_looks`. Each step is recorded in the transaction that does it, so that a worker may die anywhere
and another one goes on.
"""

import time
from datetime import timedelta
from typing import Literal
from uuid import UUID, uuid4

from chalicelib import telemetry
from chalicelib.catalog.audits import Audit, AuditRequest
from chalicelib.db import audit_ranges, audits, findings, inventory_files
from chalicelib.db.refusals import is_contention
from chalicelib.errors import Conflict, NotFound, StoreUnavailable
from chalicelib.services.accounts.principals import LANDFALL
from chalicelib.services.context import Context, Transaction
from chalicelib.services.truth.allowances import Allowance
from chalicelib.services.truth.guessing import split_by_guess
from chalicelib.services.truth.inventories import compare_inventory
from chalicelib.services.truth.loading import ReadParquet, load_some, remove_loaded, waits_for_parquet
from chalicelib.services.truth.ranges import compare_range
from chalicelib.services.truth.second_looks import look_again
from chalicelib.store.listing import rarely_collecting

# A worker with nothing to do takes a part of another's range, if the catalogue knows so many versions ahead of it. That is two
# batches of an inventory: the other one may be at the end of its first when the part is cut.
_SPLIT_AHEAD = 40_000
_IDLE = 0.2  # seconds
_GUESS_AFTER = timedelta(seconds=3)
_REFUSED = "The object store has refused to tell of {} keys, so nothing is sure of them. The log names them."
_TRIES = 5  # in a row, while the store doesn't answer
_TRIES_BESIDE_OTHERS = 20  # in a row, while others hold the keys: each waits for them itself


def begin_audit(tx: Transaction, request: AuditRequest) -> UUID:
    """A new audit, for workers to work on; returns its id."""
    requested_by = None if tx.principal == LANDFALL else tx.principal.user_id
    return audits.add_audit(tx.session, request, requested_by, tx.now)


def expected_versions(tx: Transaction, request: AuditRequest) -> int:
    """How many versions the catalogue knows of what an audit is to compare."""
    return audits.count_versions(tx.session, request.bucket, request.prefix)


def get_audit(tx: Transaction, audit_id: UUID) -> Audit:
    """How far an audit is, and what it has found, with examples.

    Raises:
        NotFound: there is none.
    """
    audit = audits.find_audit(tx.session, audit_id)
    if audit is None:
        raise NotFound("There is no such audit.")
    audit.examples.extend(findings.list_examples(tx.session, audit_id))
    return audit


def cancel_audit(tx: Transaction, audit_id: UUID) -> None:
    """End an audit. What it has recorded stays recorded.

    Raises:
        NotFound: there is none. Conflict: it has ended.
    """
    audit = audits.lock_audit(tx.session, audit_id)
    if audit is None:
        get_audit(tx, audit_id)
        raise Conflict("The audit has ended already.")
    audits.set_state(tx.session, audit_id, tx.now, state="cancelled", finished_at=tx.now)


def audit(ctx: Context, request: AuditRequest) -> Audit:
    """Audit a bucket from beginning to end; returns what was found.

    Raises:
        StoreUnavailable: the bucket can't be read. The audit stays open, for any worker to go on with it.
    """
    with ctx.transaction() as tx:
        audit_id = begin_audit(tx, request)
    work_on_audit(ctx, audit_id)
    with ctx.transaction() as tx:
        return get_audit(tx, audit_id)


def work_on_audits(ctx: Context, seconds: float, requests: float) -> int:
    """Go on with open audits for about so many seconds, with those of the clock for about so many requests; returns how many
    there were.

    Raises:
        StoreUnavailable: a bucket can't be read. The audits of others went on all the same, as they do whatever happens to one.
        DatabaseUnavailable.
    """
    asked, scheduled = Allowance(seconds), Allowance(seconds, requests)
    with ctx.transaction() as tx:
        waiting = [one for one in audits.open_audits(tx.session) if not waits_for_parquet(tx, one[0])]
    remove_loaded(ctx, Allowance(seconds / 4))
    number, trouble = len(waiting), None
    for waits in (False, True):  # one that can only wait must not keep the others from what they can do
        going_on = []
        for audit_id, is_scheduled in waiting:
            try:
                if not work_on_audit(ctx, audit_id, scheduled if is_scheduled else asked, waits=waits):
                    going_on.append((audit_id, is_scheduled))
            except Exception as error:  # noqa: BLE001 - nor must one that fails; it is raised below
                telemetry.log("error", "an audit was interrupted", audit_id=audit_id, error=error)
                trouble = error
        waiting = going_on
    if trouble:
        raise trouble
    return number


@rarely_collecting()
def work_on_audit(
    ctx: Context,
    audit_id: UUID,
    allowance: Allowance | None = None,
    read_parquet: ReadParquet | None = None,
    *,
    waits: bool = True,
) -> bool:
    """Be one of the workers of an audit, until it has ended or nothing more is allowed; returns whether it has ended.

    Without ``read_parquet``, an inventory of Parquet is left to workers that can read it. ``waits``: for what other workers
    have, and until keys are old enough to be looked at again; else the audit is left to a later run then.

    Raises:
        StoreUnavailable: the store didn't answer several times in a row. DatabaseUnavailable. Others' transactions stood in
            the way many times in a row: what the database says of it.
    """
    worker, troubles, blocked, allowance = uuid4(), 0, 0, allowance or Allowance()
    try:
        while allowance.is_left:
            try:
                came_to = _take_step(ctx, audit_id, worker, allowance, read_parquet)
                if came_to == "end":
                    remove_loaded(ctx, allowance)
                    return True
                troubles = blocked = 0
                if came_to == "halt" and not waits:
                    return False
                if came_to == "halt":
                    time.sleep(_IDLE)
            except StoreUnavailable as error:
                troubles += 1
                _note_trouble(ctx, audit_id, worker, error)
                if troubles == _TRIES:
                    raise
                time.sleep(_IDLE * 2**troubles)
            except Exception as error:
                blocked += 1
                if not is_contention(error) or blocked == _TRIES_BESIDE_OTHERS:
                    raise
                _give_back(ctx, worker)
                time.sleep(_IDLE)
        return False
    finally:
        _give_back(ctx, worker)


def _take_step(
    ctx: Context, audit_id: UUID, worker: UUID, allowance: Allowance, read_parquet: ReadParquet | None
) -> Literal["on", "halt", "end"]:
    """Load a file, or compare a range, or look at some keys again.

    Returns:
        ``"halt"`` if there is nothing to do but to wait; ``"end"`` if the audit has ended.
    """
    with ctx.transaction() as tx:
        audit = audits.find_audit(tx.session, audit_id)
        if audit is None or audit.finished_at is not None:
            return "end"
        claimed = audit_ranges.claim_range(tx.session, audit_id, worker) if audit.state == "listing" else None
        is_idle = claimed is None and audit.state == "listing" and not _go_on(tx, audit)
    if audit.state == "loading":
        is_idle = not load_some(ctx, audit, worker, allowance, read_parquet)
    if claimed is not None:
        compare = compare_range if audit.inventory is None else compare_inventory
        compare(ctx, audit, claimed, worker, allowance)
    elif is_idle:
        # Soon there may be keys that the catalogue knows by then. An inventory's ranges are cut before.
        may_guess = audit.inventory is None and ctx.now - audit.created_at >= _GUESS_AFTER
        if not may_guess or not split_by_guess(ctx, audit, allowance):
            return "halt"
    elif audit.state == "settling" and not look_again(ctx, audit, allowance) and not _finish(ctx, audit_id):
        return "halt"
    return "on"


def _go_on(tx: Transaction, audit: Audit) -> bool:
    """Where no range is free: begin with second looks if all are done, else take a part of one; returns whether there is
    something to do now."""
    if audit_ranges.has_open_ranges(tx.session, audit.id):
        return audit_ranges.split_range(tx.session, audit, _SPLIT_AHEAD)
    if (now := audits.lock_audit(tx.session, audit.id)) is not None and now.state == "listing":
        audits.set_state(tx.session, audit.id, tx.now, state="settling")
    return True


def _finish(ctx: Context, audit_id: UUID) -> bool:
    """End an audit if nothing is left to look at again; returns whether it has ended."""
    with ctx.transaction() as tx:
        audit = audits.lock_audit(tx.session, audit_id)
        if audit is not None and not findings.has_open_findings(tx.session, audit_id):
            refused = findings.count_refused(tx.session, audit_id)
            problem = _REFUSED.format(refused) if refused else None
            audits.set_state(tx.session, audit_id, tx.now, state="done", problem=problem, finished_at=tx.now)
            return True
        return audit is None


def _give_back(ctx: Context, worker: UUID) -> None:
    """Let others, or this one itself, take what this worker has leased."""
    with ctx.transaction() as tx:
        audit_ranges.release_ranges(tx.session, worker)
        inventory_files.release_files(tx.session, worker)


def _note_trouble(ctx: Context, audit_id: UUID, worker: UUID, error: StoreUnavailable) -> None:
    _give_back(ctx, worker)
    with ctx.transaction() as tx:
        if audits.lock_audit(tx.session, audit_id) is not None:
            audits.set_state(tx.session, audit_id, tx.now, problem=str(error))
