"""Work that may take longer than a request: kept in a table, done in steps, told about while it goes on.

Whoever creates a job also begins it, for a few seconds, so that small ones are done when the answer comes. What is left goes on
by the clock, each job by one process at a time; a process that dies is followed by another when its lease is up. So every
step can be repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from chalicelib import telemetry
from chalicelib.catalog.metadata_sizes import printed_bytes
from chalicelib.db.models import Job, User
from chalicelib.db.pages import Order, Slice, fetch_slice
from chalicelib.db.refusals import meaningful_refusals
from chalicelib.errors import Cancelled, Conflict, LandfallError, NotFound, Refused, Unavailable
from chalicelib.ids import uuid7
from chalicelib.services import Transaction
from chalicelib.services.principals import Principal, Role
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore

JobKind = Literal["copy", "move", "restore", "delete_folder", "empty_trash", "zip"]
_LEASE = timedelta(minutes=3)
_FIRST_RETRY = timedelta(seconds=30)
_MAX_TRIES = 5
_MOST_FAILURES = 100
_OPEN = ("queued", "running")


@dataclass
class Work:
    """A job being done, and what its steps need. A step notes in ``progress`` where the next one is to go on."""

    transaction: Transaction
    store: ObjectStore
    options: Settings
    clock: Callable[[], datetime]
    job_id: UUID
    principal: Principal
    command: Mapping[str, Any]
    progress: dict[str, Any] = field(default_factory=dict)
    # False once only tidying is left: then the job is neither cancelled nor given up.
    may_stop: bool = True
    result: dict[str, Any] = field(default_factory=dict)

    def save(self) -> None:
        """Note the progress, and go on holding the job.

        Raises:
            Cancelled: its owner wants it to stop.
        """
        now = self.clock()
        with self.transaction() as session:
            values = {"progress": self.progress, "run_after": now + _LEASE, "updated_at": now}
            mine = update(Job).where(Job.id == self.job_id, Job.state == "running").values(**values)
            kept = session.scalar(mine.returning(Job.cancel_requested))
        if kept is None or (kept and self.may_stop):
            raise Cancelled("The job was cancelled.")

    def note_failure(self, what: str, error: LandfallError) -> None:
        """Count one thing that couldn't be done; the first hundred are told in the result."""
        self.progress["failed"] = self.progress.get("failed", 0) + 1
        failures = self.progress.setdefault("failures", [])
        if len(failures) < _MOST_FAILURES:
            failures.append({"what": what, "why": str(error)})


@dataclass(frozen=True, slots=True)
class Steps:
    """How a kind of job is done.

    Attributes:
        step: does a part of it; True when nothing is left.
        undo: takes back what a job that won't go on has begun. It is called at most once, and must not need S3.
        finishes: what the progress holds once only tidying is left: from then on the job is neither cancelled nor given up.
    """

    step: Callable[[Work], bool]
    undo: Callable[[Work], None] = lambda _: None
    finishes: str = ""


def create_job(session: Session, principal: Principal, kind: JobKind, command: dict[str, Any], now: datetime) -> Job:
    """A new job of the caller's."""
    job = Job(
        id=uuid7(now),
        owner_id=principal.user_id,
        kind=kind,
        state="queued",
        command=command | {"role": principal.role},  # read by the release before this one, should it come back
        progress={},
        run_after=now,
        created_at=now,
        updated_at=now,
    )
    session.add(job)
    session.flush()
    return job


def note_progress(session: Session, work: Work, more: dict[str, Any]) -> None:
    """Note how far the work is in the transaction that brings it there, for a step that must not be done twice.

    Raises:
        Cancelled: somebody else has ended the job.
    """
    noted = update(Job).where(Job.id == work.job_id, Job.state == "running").values(progress=work.progress | more)
    if session.scalar(noted.returning(Job.id)) is None:
        raise Cancelled("The job was cancelled.")
    work.progress |= more


def list_jobs(session: Session, principal: Principal, limit: int, cursor: str | None) -> Slice[Job]:
    """The caller's jobs, the newest first; an operator sees everyone's.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    statement = select(Job)
    if not principal.is_operator:
        statement = statement.where(Job.owner_id == principal.user_id)
    return fetch_slice(session, statement, Order("jobs", Job.id, Job.id, True), limit, cursor, _weight)


def _weight(job: Job) -> int:
    return printed_bytes(job.progress) + printed_bytes(job.result)


def get_job(session: Session, principal: Principal, job_id: UUID) -> Job:
    """One job.

    Raises:
        NotFound: there is none for this caller.
    """
    job = session.get(Job, job_id)
    if job is None or not (principal.is_operator or job.owner_id == principal.user_id):
        raise NotFound(f"There is no job {job_id}.")
    return job


def cancel_job(session: Session, principal: Principal, job_id: UUID, now: datetime) -> Job:
    """Have a job stop before its next step: whoever runs it next ends it. What it has done stays done.

    Raises:
        NotFound: there is none for this caller. Conflict: it has ended already.
    """
    get_job(session, principal, job_id)
    job = session.get_one(Job, job_id, with_for_update=True, populate_existing=True)
    if job.state not in _OPEN:
        raise Conflict(f"The job is {job.state}.")
    job.cancel_requested, job.updated_at = True, now
    if job.state == "queued":
        job.run_after = now
    session.flush()
    return job


def run_job(
    transaction: Transaction,
    store: ObjectStore,
    options: Settings,
    clock: Callable[[], datetime],
    steps: Mapping[str, Steps],
    job_id: UUID,
    seconds: float,
) -> None:
    """Do a job for about so many seconds, unless somebody else is at it. Whatever becomes of it is in its row."""
    with transaction() as session:
        job = _claim(session, job_id, clock())
        role = None if job is None else session.scalar(select(User.role).where(User.id == job.owner_id))
    if job is None or role is None:
        return
    principal = Principal(job.owner_id, cast(Role, role))  # as it is by now, not as it was when the job was made
    work = Work(transaction, store, options, clock, job.id, principal, job.command, dict(job.progress))
    deadline = clock() + timedelta(seconds=seconds)
    kind = steps[job.kind]
    work.may_stop = kind.finishes not in work.progress
    try:
        with meaningful_refusals():
            work.save()
            while not kind.step(work):
                work.save()
                if clock() >= deadline:
                    _end(work, "queued", run_after=clock())
                    return
            _end(work, "done", result=work.result)
    except Cancelled as stop:
        _give_up(work, kind, "cancelled", str(stop))
    except Unavailable as error:
        if work.may_stop and (job.tries >= _MAX_TRIES or isinstance(error, Refused)):
            _give_up(work, kind, "failed", str(error))
        else:
            delay = _FIRST_RETRY * 2 ** (min(job.tries, _MAX_TRIES) - 1)
            _end(work, "queued", problem=str(error), run_after=clock() + delay)
    except LandfallError as error:
        _give_up(work, kind, "failed", str(error))
    except Exception as error:  # noqa: BLE001 - one job's fault must not keep the others waiting
        telemetry.log("error", "job failed", job_id=job.id, kind=job.kind, error=error)
        _give_up(work, kind, "failed", "Something went wrong on our side; the job's id finds the reason in the log.")


def due_jobs(session: Session, now: datetime, most: int) -> Sequence[UUID]:
    """Jobs that wait, or whose process has died, the oldest first."""
    due = select(Job.id).where(Job.state.in_(_OPEN), Job.run_after <= now)
    return session.scalars(due.order_by(Job.id).limit(most)).all()


def _claim(session: Session, job_id: UUID, now: datetime) -> Job | None:
    job = session.scalar(
        select(Job)
        .where(Job.id == job_id, Job.state.in_(_OPEN), Job.run_after <= now)
        .with_for_update(skip_locked=True)
    )
    if job is not None:
        job.state, job.run_after, job.tries, job.updated_at = "running", now + _LEASE, job.tries + 1, now
        session.flush()
    return job


def _give_up(work: Work, kind: Steps, state: str, problem: str) -> None:
    kind.undo(work)
    _end(work, state, problem=problem)


def _end(work: Work, state: str, **values: Any) -> None:
    """Note how it ended, or for how long it rests. Progress is no try: only failures in a row are counted."""
    if state == "queued" and "problem" not in values:
        values |= {"tries": 0, "problem": None}
    if state == "done":
        values["problem"] = None
    with work.transaction() as session:
        mine = update(Job).where(Job.id == work.job_id, Job.state == "running")
        session.execute(mine.values(state=state, progress=work.progress, updated_at=work.clock(), **values))
