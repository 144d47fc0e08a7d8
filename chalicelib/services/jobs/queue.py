"""Jobs: what may take longer than a request. They are kept in a table, done in steps, and told about while they go on.

Whoever creates a job also begins it, for a few seconds, so that small ones are done when the answer comes. What is left goes on
by the clock, each job by one process at a time; a process that dies is followed by another when its lease is up. So every
step can be repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from chalicelib import telemetry
from chalicelib.catalog.commands import Command, Failure, JobKind, JobResult, JobState, Progress
from chalicelib.db import jobs
from chalicelib.db.jobs import ClaimedJob
from chalicelib.db.models import Job
from chalicelib.db.pages import Page
from chalicelib.db.refusals import meaningful_refusals
from chalicelib.errors import Cancelled, Conflict, LandfallError, NotFound, Refused, Unavailable
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.context import Context, Transaction

_LEASE = timedelta(minutes=3)
_FIRST_RETRY = timedelta(seconds=30)
_MAX_TRIES = 5
_MAX_FAILURES = 100

CommandT = TypeVar("CommandT", bound=Command)
ProgressT = TypeVar("ProgressT", bound=Progress)


@dataclass(slots=True)
class Work(Generic[CommandT, ProgressT]):
    """A job being done: a context whose principal is the job's owner, and the job.

    A step notes in ``progress`` where the next one is to go on.

    ``may_stop`` is False once only tidying is left: then the job is neither cancelled nor given up.
    """

    ctx: Context
    job_id: UUID
    command: CommandT
    progress: ProgressT
    may_stop: bool = True
    result: JobResult = field(default_factory=JobResult)

    def save(self) -> None:
        """Note the progress, and go on holding the job.

        Raises:
            Cancelled: its owner wants it to stop, or somebody else has ended it.
        """
        with self.ctx.transaction() as tx:
            is_cancelled = jobs.save_progress(tx.session, self.job_id, self.progress, tx.now, tx.now + _LEASE)
        if is_cancelled is None or (is_cancelled and self.may_stop):
            raise Cancelled("The job was cancelled.")

    def save_with(self, tx: Transaction, progress: ProgressT) -> None:
        """Note ``progress`` in the transaction that makes it, for a step that must not be done twice.

        Raises:
            Cancelled: somebody else has ended the job.
        """
        if jobs.save_progress(tx.session, self.job_id, progress, tx.now) is None:
            raise Cancelled("The job was cancelled.")

    def note_failure(self, what: UUID, error: LandfallError) -> None:
        """Count one thing that couldn't be done; the first hundred are told in the result."""
        self.progress.failed += 1
        if len(self.progress.failures) < _MAX_FAILURES:
            self.progress.failures.append(Failure(str(what), str(error)))


@dataclass(frozen=True, slots=True)
class Steps:
    """How a kind of job is done.

    Attributes:
        step: does a part of it; True when nothing is left.
        undo: takes back what a job that won't go on has begun. It is called at most once, and must not need S3.
        is_tidying: whether only tidying is left: from then on the job is neither cancelled nor given up.
    """

    step: Callable[[Any], bool]
    undo: Callable[[Any], None] = lambda _: None
    is_tidying: Callable[[Any], bool] = lambda _: False


def create_job(tx: Transaction, command: Command) -> Job:
    """A new job of the caller's."""
    return jobs.add_job(tx.session, tx.principal.user_id, tx.principal.role, command, tx.now)


def list_jobs(tx: Transaction, limit: int, cursor: str | None) -> Page:
    """A page of the caller's jobs, the newest first; an operator sees everyone's.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    return jobs.list_jobs(tx.session, tx.scope, limit, cursor)


def get_job(tx: Transaction, job_id: UUID) -> Job:
    """One job.

    Raises:
        NotFound: there is none for this caller.
    """
    return _visible(tx, job_id)


def cancel_job(tx: Transaction, job_id: UUID) -> None:
    """Have a job stop before its next step: whoever runs it next ends it. What it has done stays done.

    Raises:
        NotFound: there is none for this caller. Conflict: it has ended already.
    """
    job = _visible(tx, job_id, lock=True)
    if job.state not in jobs.OPEN:
        raise Conflict(f"The job is {job.state}.")
    jobs.request_cancellation(tx.session, job, tx.now)


def find_due_jobs(tx: Transaction, limit: int) -> Sequence[UUID]:
    """Jobs that wait, or whose process has died, the oldest first."""
    return jobs.find_due_jobs(tx.session, tx.now, limit)


def run_job(ctx: Context, kinds: Mapping[JobKind, Steps], job_id: UUID, seconds: float) -> None:
    """Do a job for about so many seconds, unless somebody else is at it. Whatever becomes of it is in its row."""
    with ctx.transaction() as tx:
        job = jobs.claim_job(tx.session, job_id, tx.now, tx.now + _LEASE)
    if job is None:
        return
    try:
        command, progress = jobs.read_command(job), jobs.read_progress(job)
    except ValueError as error:  # of a release that wrote it otherwise
        telemetry.log("error", "job not understood", job_id=job.id, kind=job.kind, error=error)
        with ctx.transaction() as tx:
            jobs.end_job(tx.session, job.id, "failed", tx.now, problem=_OUR_FAULT)
        return
    principal = Principal(job.owner_id, job.role)
    work: Work[Any, Any] = Work(replace(ctx, principal=principal), job.id, command, progress)
    _do(work, job, kinds[job.kind], seconds)


_OUR_FAULT = "Something went wrong on our side; the job's id finds the reason in the log."


def _do(work: Work[Any, Any], job: ClaimedJob, kind: Steps, seconds: float) -> None:
    deadline = work.ctx.now + timedelta(seconds=seconds)
    work.may_stop = not kind.is_tidying(work.progress)
    try:
        with meaningful_refusals():
            if _is_done_by(deadline, work, kind):
                _end(work, "done", progress=work.progress, result=work.result, problem=None)
            else:
                # Progress is no try: only failures in a row are counted.
                _end(work, "queued", run_after=work.ctx.now, tries=0, problem=None)
    except Cancelled as stop:
        _give_up(work, kind, "cancelled", str(stop))
    except Unavailable as error:
        if work.may_stop and (job.tries >= _MAX_TRIES or isinstance(error, Refused)):
            _give_up(work, kind, "failed", str(error))
        else:
            delay = _FIRST_RETRY * 2 ** (min(job.tries, _MAX_TRIES) - 1)
            _end(work, "queued", problem=str(error), run_after=work.ctx.now + delay)
    except LandfallError as error:
        _give_up(work, kind, "failed", str(error))
    except Exception as error:  # noqa: BLE001 - one job's fault must not keep the others waiting
        telemetry.log("error", "job failed", job_id=job.id, kind=job.kind, error=error)
        _give_up(work, kind, "failed", _OUR_FAULT)


def _is_done_by(deadline: datetime, work: Work[Any, Any], kind: Steps) -> bool:
    """Do one step after the other, at least one, until nothing is left or the time is up."""
    work.save()
    while not kind.step(work):
        work.save()
        if work.ctx.now >= deadline:
            return False
    return True


def _give_up(work: Work[Any, Any], kind: Steps, state: JobState, problem: str) -> None:
    kind.undo(work)
    _end(work, state, problem=problem)


def _end(work: Work[Any, Any], state: JobState, **values: Any) -> None:
    """Note how it ended, or for how long it rests. Where something failed, the progress is left as it was last noted: whether the
    transaction that failed has brought the job any further, only the database knows."""
    with work.ctx.transaction() as tx:
        jobs.end_job(tx.session, work.job_id, state, tx.now, **values)


def _visible(tx: Transaction, job_id: UUID, lock: bool = False) -> Job:
    job = jobs.find_job(tx.session, tx.scope, job_id, lock=lock)
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    return job
