"""Jobs: work that may take longer than a request. They are kept in a table and done in steps; their progress can be read.

The request that creates a job also works on it for a few seconds, so that small jobs are done when the answer comes. Jobs that
remove something permanently it leaves to another process, whose role may; it rings for that one, and waits a few seconds.
The clock does the rest. Only one process at a time works on a job. If it dies, another one goes on when the lease is
up. So every step can be repeated.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from typing_extensions import Unpack

from chalicelib import telemetry
from chalicelib.catalog.acts import Cause
from chalicelib.catalog.bells import bell_key
from chalicelib.catalog.commands import Command, JobKind, JobResult, JobState, TakeBack, act_of
from chalicelib.catalog.progress import Failure, Progress
from chalicelib.db import jobs
from chalicelib.db.jobs import ClaimedJob, Ending
from chalicelib.db.models import Job
from chalicelib.db.pages import Page
from chalicelib.db.refusals import meaningful_refusals
from chalicelib.errors import (
    Cancelled,
    Conflict,
    DatabaseUnavailable,
    LandfallError,
    NotFound,
    Refused,
    StoreUnavailable,
    TimeIsUp,
    TooManyJobs,
    Unavailable,
)
from chalicelib.services.accounts import trail
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.context import Context, Transaction

_LEASE = timedelta(minutes=3)
_FIRST_RETRY_SECONDS = 30
_MAX_TRIES = 5
_MAX_DEATHS = 2 * _MAX_TRIES
_MAX_FAILURES = 100
_RETRY_SECONDS = 60  # the clock works on jobs each minute

CommandT = TypeVar("CommandT", bound=Command)
ProgressT = TypeVar("ProgressT", bound=Progress)


@dataclass(slots=True)
class Work(Generic[CommandT, ProgressT]):
    """A job that is being done, and a context whose principal is the job's owner.

    A step notes in ``progress`` where the next one is to go on.

    ``until`` is when its turn ends: a step that takes long, and can be gone on with, raises `TimeIsUp` then. ``may_stop`` is
    False once only tidying is left: then the job is neither cancelled nor given up.
    """

    ctx: Context
    job_id: UUID
    command: CommandT
    progress: ProgressT
    until: datetime
    may_stop: bool = True
    result: JobResult = field(default_factory=JobResult)

    def save(self, is_further: bool = False) -> None:
        """Note the progress, and extend the claim on the job.

        ``is_further``: if this process dies, the next one begins after what is done by now. So `tries` starts anew.

        Raises:
            Cancelled: its owner wants it to stop or is disabled, or another process has ended it.
        """
        with self.ctx.transaction() as tx, tx.as_landfall():
            standing = jobs.save_progress(
                tx.session, self.job_id, self.progress, tx.now, tx.now + _LEASE, is_further=is_further
            )
        if standing == "ended" or (standing != "goes on" and self.may_stop):
            raise Cancelled("Its owner is disabled." if standing == "disabled" else "The job was cancelled.")

    def save_with(self, tx: Transaction, progress: ProgressT) -> None:
        """Note ``progress`` in the transaction that makes it, for a step that must not be done twice.

        Raises:
            Cancelled: another process has ended the job.
        """
        with tx.as_landfall():
            standing = jobs.save_progress(tx.session, self.job_id, progress, tx.now)
        if standing == "ended":
            raise Cancelled("The job was cancelled.")

    def note_failure(self, what: UUID, error: LandfallError) -> None:
        """Count one thing that couldn't be done; the first hundred are kept with their reasons."""
        self.progress.failed += 1
        if len(self.progress.failures) < _MAX_FAILURES:
            self.progress.failures.append(Failure(str(what), str(error)))


@dataclass(frozen=True, slots=True)
class Steps(Generic[CommandT, ProgressT]):
    """How a kind of job is done.

    Attributes:
        step: does a part of it; returns True when nothing is left.
        undo: takes back what the job has begun, if it won't go on. It must not fail when S3 doesn't answer.
        is_tidying: whether only tidying is left: from then on the job is neither cancelled nor given up.
    """

    step: Callable[[Work[CommandT, ProgressT]], bool]
    undo: Callable[[Work[CommandT, ProgressT]], None] = lambda _: None
    is_tidying: Callable[[ProgressT], bool] = lambda _: False


def create_job(tx: Transaction, command: Command, file_ids: Collection[UUID] = ()) -> Job:
    """A new job that belongs to the caller, and may do what the caller may. ``file_ids``: the files that it is about.

    Nobody asks for `TakeBack`, so it isn't refused.

    Raises:
        TooManyJobs: the caller is a member with as many open jobs as it may have.
    """
    if not tx.principal.is_operator and not isinstance(command, TakeBack):
        most = tx.settings.jobs_per_user
        with tx.as_landfall():  # those that the caller's other API keys have made count, too
            if jobs.has_open_jobs(tx.session, tx.principal.user_id, most):
                raise TooManyJobs(most, _RETRY_SECONDS)
    with tx.as_landfall():  # the job is the caller's, also if it acts in a session of another user
        job = jobs.add_job(tx.session, tx.principal.own, tx.principal.role, command, tx.now)
    if file_ids:
        trail.note(tx, act_of(job.kind), file_ids, job.id)
    else:
        trail.note_about(tx, act_of(job.kind), job.id)
    return job


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
    """Have a job stop before its next step: the process that runs it next ends it. What the job has done stays done.

    Raises:
        NotFound: there is none for this caller. Conflict: it has ended already.
    """
    job = _visible(tx, job_id, lock=True)
    if job.state not in jobs.OPEN:
        raise Conflict(f"The job is {job.state}.")
    jobs.request_cancellation(tx.session, job, tx.now)
    trail.note_about(tx, "cancel_job", job_id, job.owner_id)


def ring(ctx: Context, job_id: UUID) -> None:
    """Have a job done at once that this process may not do itself. If nobody hears it, the clock does the job all the same.

    Functions in the VPC reach nothing but S3 and the database, so the bell is an object in a bucket, whose notification invokes
    `run_jobs`. Where there is no such bucket, whoever works looks for jobs.
    """
    if ctx.settings.bell_bucket is None:
        return
    try:
        ctx.store.write_document(ctx.settings.bell_bucket, bell_key(job_id), b"{}")
    except (StoreUnavailable, NotFound) as error:
        telemetry.log("warning", "nobody could be rung for", job_id=job_id, error=error)


def failures_of(job: Job) -> dict[str, str]:
    """What a job could not do, with the reasons: the first hundred."""
    return {failure.what: failure.why for failure in jobs.read_progress(job).failures}


def find_due_jobs(tx: Transaction, limit: int, kinds: Collection[JobKind] | None = None) -> Sequence[UUID]:
    """Jobs that wait, or whose process has died, each owner's in turn: of these ``kinds``, or with None of all."""
    return jobs.find_due_jobs(tx.session, tx.now, limit, kinds)


def run_job(ctx: Context, kinds: Mapping[JobKind, Steps[Any, Any]], job_id: UUID, seconds: float) -> None:
    """Do a job for about ``seconds``, unless another process is working on it. Its row says what became of it."""
    with ctx.transaction() as tx, tx.as_landfall():
        job = jobs.claim_job(tx.session, job_id, tx.now, tx.now + _LEASE)
    if job is None:
        return
    try:
        command, progress = jobs.read_command(job), jobs.read_progress(job)
    except ValueError as error:  # another release has written it in another form, and may be deployed again
        telemetry.log("error", "job not understood", job_id=job.id, kind=job.kind, error=error)
        state: JobState = "failed" if job.tries >= _MAX_TRIES else "queued"
        with ctx.transaction() as tx, tx.as_landfall():
            jobs.end_job(tx.session, job.id, state, tx.now, problem=_OUR_FAULT, run_after=tx.now + _delay(job))
        return
    principal = Principal(job.owner_id, job.role, job.prefix, job.session_id)
    done_by = replace(ctx, principal=principal, cause=Cause("job", str(job.id)))
    work: Work[Any, Any] = Work(done_by, job.id, command, progress, ctx.now + timedelta(seconds=seconds))
    _do(work, job, kinds[job.kind])


_OUR_FAULT = "Something went wrong on our side; the job's id finds the reason in the log."
_DIES = "It was begun {} times in a row, and failed or its process ended each time before it was done."


def _do(work: Work[Any, Any], job: ClaimedJob, kind: Steps[Any, Any]) -> None:
    work.may_stop = not kind.is_tidying(work.progress)
    try:
        with meaningful_refusals():
            work.save()  # first, so that a job that was cancelled ends as such
            if work.may_stop and job.tries > _MAX_TRIES:  # a process that dies counts nothing itself
                raise Conflict(_DIES.format(job.tries - 1))
            if _is_done_in_time(work, kind):
                _end(work, "done", result=work.result, problem=None)
            else:
                # The job has made progress, so `tries` starts anew: only failures in a row are counted.
                _end(work, "queued", run_after=work.ctx.now, tries=0, problem=None)
    except Cancelled as stop:
        _give_up(work, job, kind, "cancelled", str(stop))
    except Unavailable as error:
        if work.may_stop and (job.tries >= _MAX_TRIES or isinstance(error, Refused)):
            _give_up(work, job, kind, "failed", str(error))
        else:
            _end(work, "queued", problem=str(error), run_after=work.ctx.now + _delay(job))
    except LandfallError as error:
        _give_up(work, job, kind, "failed", str(error))
    except Exception as error:  # noqa: BLE001 - one job's fault must not keep the others waiting
        telemetry.log("error", "job failed", job_id=job.id, kind=job.kind, error=error)
        _give_up(work, job, kind, "failed", _OUR_FAULT)


def _delay(job: ClaimedJob) -> timedelta:
    """How long a job rests after a failure: 30 s, 1 min, 2 min, …"""
    return timedelta(seconds=_FIRST_RETRY_SECONDS * 2 ** (min(job.tries, _MAX_TRIES) - 1))


def _is_done_in_time(work: Work[Any, Any], kind: Steps[Any, Any]) -> bool:
    """Do one step after the other, at least one, until nothing is left or the time is up."""
    try:
        while not kind.step(work):
            work.save(is_further=True)
            if work.ctx.now >= work.until:
                return False
    except TimeIsUp:
        return False
    return True


def _give_up(work: Work[Any, Any], job: ClaimedJob, kind: Steps[Any, Any], state: JobState, problem: str) -> None:
    try:
        if job.tries > _MAX_DEATHS:
            raise Conflict("Its process has died again and again, perhaps while it took the job back.")
        with meaningful_refusals():
            kind.undo(work)
    except DatabaseUnavailable:
        raise  # the process that takes the job over does this again
    except Exception as error:  # noqa: BLE001 - the job has ended all the same, and must not keep the others waiting
        telemetry.log("error", "job not taken back", job_id=work.job_id, error=error)
    _end(work, state, problem=problem)


def _end(work: Work[Any, Any], state: JobState, **ending: Unpack[Ending]) -> None:
    """Note how a job ended, or for how long it rests.

    Its progress is merged into the one that the database has. A transaction may have noted more before its answer was
    lost, and that stays.
    """
    with work.ctx.transaction() as tx, tx.as_landfall():
        jobs.merge_progress(tx.session, work.job_id, work.progress)
        jobs.end_job(tx.session, work.job_id, state, tx.now, **ending)


def _visible(tx: Transaction, job_id: UUID, lock: bool = False) -> Job:
    job = jobs.find_job(tx.session, tx.scope, job_id, lock=lock)
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    return job
