"""The jobs table, which is its own queue: the process that runs a job moves its ``run_after`` on.

Commands, progress and results are kept as JSON documents of the types in `chalicelib.catalog.commands` and `progress`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session
from typing_extensions import Unpack

from chalicelib.catalog.commands import COMMANDS, Command, JobKind, JobResult, JobState, kind_of
from chalicelib.catalog.progress import PROGRESS, Progress
from chalicelib.catalog.roles import Role
from chalicelib.db.models import Job, User
from chalicelib.db.pages import Order, Page, in_utc, list_by_id
from chalicelib.db.scope import IN_SCOPE, Owner, Scope, bound_owner
from chalicelib.ids import uuid7

OPEN: tuple[JobState, ...] = ("queued", "running")

# Who comes at the same time for the same owner is counted one after the other. The lock is let go with the transaction.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('landfall jobs ' || CAST(:owner_id AS text), 0))")
# No more are counted than may be. The index of open jobs finds them: an owner may have had any number that have ended.
_HAS_SO_MANY = text("""
SELECT count(*) >= CAST(:most AS int)
FROM (
    SELECT FROM jobs WHERE owner_id = CAST(:owner_id AS uuid) AND state IN ('queued', 'running') LIMIT CAST(:most AS int)
) AS counted
""")

# As `chalicelib.api.schemas.jobs.JobOut` has it.
_ITEM = f"""id, kind, state, coalesce(CAST(progress ->> 'done' AS bigint), 0) AS done,
    coalesce(CAST(progress ->> 'failed' AS bigint), 0) AS failed, coalesce(progress -> 'failures', '[]') AS failures, result,
    problem, owner_id, {in_utc("created_at")} AS created_at, {in_utc("updated_at")} AS updated_at"""


# What becomes of a job that a process works on: it goes on, or is to stop, because that was asked for or because its owner is
# disabled; or another process has ended it.
Standing = Literal["goes on", "cancelled", "disabled", "ended"]


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job that this process may work on, with its owner's present role, and what bounds it: see `chalicelib.db.models.Job`.

    ``tries``: how often it was claimed since it last made progress. Its documents are read by `read_command` and `read_progress`.
    """

    id: UUID
    owner_id: UUID
    role: Role
    kind: JobKind
    command: dict[str, Any]
    progress: dict[str, Any]
    tries: int
    prefix: str | None = None
    session_id: str | None = None


def add_job(session: Session, owner: Owner, role: Role, command: Command, now: datetime) -> Job:
    """A new job of an owner, or of a part of what it owns. If ``role`` is that of a member, the job acts as one."""
    kind = kind_of(command)
    job = Job(
        id=uuid7(now),
        owner_id=owner.user_id,
        as_member=role == "member",
        prefix=owner.prefix,
        session_id=owner.session_id,
        kind=kind,
        state="queued",
        command=written(command) | {"role": role},  # the previous release reads it, if it should be deployed again
        progress={},
        run_after=now,
        created_at=now,
        updated_at=now,
    )
    session.add(job)
    session.flush()
    return job


def has_open_jobs(session: Session, owner_id: UUID, most: int) -> bool:
    """Whether an owner has ``most`` open jobs, or more. Nobody else adds one for the same owner until the transaction ends."""
    session.execute(_LOCK, {"owner_id": str(owner_id)})
    return bool(session.scalar(_HAS_SO_MANY, {"owner_id": owner_id, "most": most}))


def count_open_jobs(session: Session, owner_id: UUID) -> int:
    """How many jobs of an owner have not ended."""
    opened = Job.owner_id == owner_id, Job.state.in_(OPEN)
    return session.scalar(select(func.count()).select_from(Job).where(*opened)) or 0


def hasten_jobs(session: Session, owner_id: UUID, now: datetime) -> None:
    """Have an owner's waiting jobs done now."""
    waiting = Job.owner_id == owner_id, Job.state == "queued", Job.run_after > now
    session.execute(update(Job).where(*waiting).values(run_after=now))


def list_jobs(session: Session, scope: Scope, limit: int, cursor: str | None) -> Page:
    """A page of the jobs in a scope, the newest first.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    order = Order("jobs", descending=True)
    bound: dict[str, Any] = {"owner_id": bound_owner(scope)}
    rows = f"jobs WHERE {IN_SCOPE}"
    # An API key for a part of what a user owns sees jobs of keys for the same part, and no others.
    for name, value in _part_of(scope).items():
        rows, bound = f"{rows} AND {name} = :{name}", bound | {name: value}
    return list_by_id(session, order, _ITEM, rows, bound, limit, cursor)


def find_job(session: Session, scope: Scope, job_id: UUID, *, lock: bool = False) -> Job | None:
    """One job; None if there is none. ``lock``: keep others from changing it until the transaction ends."""
    found = select(Job).where(Job.id == job_id)
    if isinstance(scope, Owner):
        found = found.where(Job.owner_id == scope.user_id)
    found = found.filter_by(**_part_of(scope))
    return session.scalar(found.with_for_update() if lock else found)


def _part_of(scope: Scope) -> dict[str, str]:
    """The columns that bound jobs to a part of what a user owns; none if the scope is no such part."""
    part = {"prefix": scope.prefix, "session_id": scope.session_id} if isinstance(scope, Owner) else {}
    return {name: value for name, value in part.items() if value is not None}


def request_cancellation(session: Session, job: Job, now: datetime) -> None:
    """Ask that a job be cancelled: the process that runs it next ends it."""
    job.cancel_requested, job.updated_at = True, now
    if job.state == "queued":
        job.run_after = now
    session.flush()


def find_due_jobs(
    session: Session, now: datetime, limit: int, kinds: Collection[JobKind] | None = None
) -> Sequence[UUID]:
    """Jobs that wait, or whose process has died: of these ``kinds``, or with None of all.

    One of each owner comes first, then a second one of each, and so on. Of one owner's, the first is that which was worked on
    longest ago. Owners come in random order: if there is no time for all of them, each has its turn in some run.
    """
    due = select(Job.id).where(Job.state.in_(OPEN), Job.run_after <= now)
    if kinds is not None:
        due = due.where(Job.kind.in_(kinds))
    turn = func.row_number().over(partition_by=Job.owner_id, order_by=(Job.updated_at, Job.id))
    return session.scalars(due.order_by(turn, func.random()).limit(limit)).all()


def claim_job(session: Session, job_id: UUID, now: datetime, until: datetime) -> ClaimedJob | None:
    """Claim a job until ``until``, if it is due and no other process is working on it."""
    job = session.scalar(
        select(Job).where(Job.id == job_id, Job.state.in_(OPEN), Job.run_after <= now).with_for_update(skip_locked=True)
    )
    role = None if job is None else session.scalar(select(User.role).where(User.id == job.owner_id))
    if job is None or role is None:
        return None
    job.state, job.run_after, job.tries, job.updated_at = "running", until, job.tries + 1, now
    session.flush()
    return ClaimedJob(
        id=job.id,
        owner_id=job.owner_id,
        role="member" if job.as_member else role,
        kind=job.kind,
        command=job.command,
        progress=job.progress,
        tries=job.tries,
        prefix=job.prefix,
        session_id=job.session_id,
    )


def read_command(job: ClaimedJob) -> Command:
    """What a job is asked to do.

    Raises:
        ValueError: the document is not of its kind, or of a kind that only a later release knows.
    """
    command: Command = _adapter(_known(COMMANDS, job.kind)).validate_python(_with_source(job.command))
    return command


def read_progress(job: ClaimedJob | Job) -> Progress:
    """How far a job has come.

    Raises:
        ValueError: the document is not of its kind, or of a kind that only a later release knows.
    """
    progress: Progress = _adapter(_known(PROGRESS, job.kind)).validate_python(_with_source(job.progress))
    return progress


def _known(types: Mapping[JobKind, Any], kind: JobKind) -> Any:
    if kind not in types:
        raise ValueError(f"This release knows no jobs of the kind {kind}.")
    return types[kind]


def _with_source(document: dict[str, Any]) -> dict[str, Any]:
    """The document with a whole source. The release before wrote null for a size or an ETag that no event had told."""
    source = document.get("source")
    if not isinstance(source, dict):
        return document
    return {**document, "source": {**source, "size": source.get("size") or 0, "etag": source.get("etag") or ""}}


def save_progress(
    session: Session,
    job_id: UUID,
    progress: Progress,
    now: datetime,
    until: datetime | None = None,
    is_further: bool = False,
) -> Standing:
    """Note how far a running job is and, with ``until``, extend the claim on it. ``is_further``: its ``tries`` start anew.

    Returns:
        What becomes of the job.
    """
    values: dict[str, Any] = {"progress": written(progress), "updated_at": now}
    if until is not None:
        values["run_after"] = until
    if is_further:
        values["tries"] = 0
    mine = update(Job).where(Job.id == job_id, Job.state == "running").values(**values)
    of_disabled = select(User.id).where(User.id == Job.owner_id, User.disabled_at.is_not(None)).exists()
    row = session.execute(mine.returning(Job.cancel_requested, of_disabled.label("of_disabled"))).one_or_none()
    if row is None:
        return "ended"
    return "cancelled" if row.cancel_requested else "disabled" if row.of_disabled else "goes on"


class Ending(TypedDict, total=False):
    """What is noted with the end of a job, or with its rest. What is left out stays."""

    result: JobResult
    problem: str | None
    run_after: datetime
    tries: int


def end_job(session: Session, job_id: UUID, state: JobState, now: datetime, **ending: Unpack[Ending]) -> None:
    """Note how a running job ended, or when it goes on."""
    values: dict[str, Any] = dict(ending)
    if "result" in ending:
        values["result"] = written(ending["result"])
    mine = update(Job).where(Job.id == job_id, Job.state == "running")
    session.execute(mine.values(state=state, updated_at=now, **values))


def merge_progress(session: Session, job_id: UUID, progress: Progress) -> None:
    """Note how far a running job is. What the table says and this progress doesn't stays."""
    mine = update(Job).where(Job.id == job_id, Job.state == "running")
    merged = mine.values(progress=Job.progress.concat(written(progress)))
    session.execute(merged.execution_options(synchronize_session=False))


def find_moving(session: Session, file_ids: Collection[UUID]) -> set[UUID]:
    """Those of these files that are being moved."""
    moved = Job.command["file_id"].astext
    moves = select(moved).where(Job.kind == "move", Job.state.in_(OPEN))
    return {UUID(found) for found in session.scalars(moves.where(moved.in_([str(file_id) for file_id in file_ids])))}


def written(value: Any) -> dict[str, Any]:
    """A command, progress or a result as the table keeps it: JSON, without the fields that have their default."""
    document: dict[str, Any] = _adapter(type(value)).dump_python(value, mode="json", exclude_defaults=True)
    return document


def _adapter(kind: type[Any]) -> "TypeAdapter[Any]":
    """The adapter of a type, built at its first use: most processes run no job."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


_ADAPTERS: dict[type[Any], "TypeAdapter[Any]"] = {}
