"""Jobs as types: their kinds and states, what each kind is asked to do, and how far it has come.

The database keeps commands, progress and results as JSON with the names of these fields. A job may outlive a release,
so a field that is added needs a default, and no field may change its meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from chalicelib.catalog.acts import Act
from chalicelib.catalog.files import File
from chalicelib.catalog.objects import Copied, Current, Location, Source

JobKind = Literal[
    "copy", "move", "restore", "undelete", "delete_folder", "empty_trash", "zip", "assign_owners", "hand_over",
    "delete_user", "take_back",
]  # fmt: skip
DeletionPhase = Literal["files", "trash", "tombstones", "again"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]

# Jobs that remove versions, or sweep through files that they delete. The process that answers requests signs links, so its role
# has no right to remove anything permanently. These are left to `run_jobs` and `work`, whose roles sign nothing.
LEFT_TO_WORK: frozenset[JobKind] = frozenset(
    ("move", "undelete", "delete_folder", "empty_trash", "delete_user", "take_back")
)


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy an object to the pending file ``file_id``.

    ``original``: the file whose object it is, which the job's owner must still be allowed to see. None: nobody asks, because the
    release before has made the job.
    """

    source: Source
    file_id: UUID
    original: UUID | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Give a file another key. ``placeholder`` is the row that holds that key until then.

    Without ``name``, a file that is named after its old key is named after the new one.
    """

    file_id: UUID
    key: str
    name: str | None
    placeholder: UUID


@dataclass(frozen=True, slots=True)
class Restore:
    """Copy an earlier version over a file's current one.

    ``over``: the ETag of the object that may be replaced; ``""`` if there is none; None if the catalogue doesn't know it.
    """

    file_id: UUID
    source: Source
    over: str | None = None


@dataclass(frozen=True, slots=True)
class Undelete:
    """Remove the delete markers of files. ``claimed``: until when the request that made the job has claimed them for it."""

    file_ids: list[UUID]
    claimed: datetime


@dataclass(frozen=True, slots=True)
class DeleteFolder:
    """Delete the files below ``prefix`` that were created before ``until``."""

    bucket: str
    prefix: str
    until: datetime


@dataclass(frozen=True, slots=True)
class EmptyTrash:
    """Purge the owner's deleted files, or everyone's, that were deleted before ``until``."""

    until: datetime
    everyones: bool


@dataclass(frozen=True, slots=True)
class Zip:
    """Write files into one zip of this name."""

    file_ids: list[UUID]
    name: str


@dataclass(frozen=True, slots=True)
class AssignOwners:
    """Give the files below ``prefix`` that belong to nobody to whom the owner rules say."""

    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """Give the files of an owner's session, whatever their state, to another user."""

    owner_id: UUID
    session_id: str
    to: UUID


@dataclass(frozen=True, slots=True)
class DeleteUser:
    """Delete a user, after its files were handed over to another one or, with None, permanently removed."""

    user_id: UUID
    to: UUID | None


@dataclass(frozen=True, slots=True)
class Taken:
    """An object that S3 took of an upload that failed all the same."""

    file_id: UUID
    location: Location
    version_id: str
    etag: str


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Remove the objects of an upload of several files that failed half way."""

    taken: list[Taken]


Command = (
    Copy | Move | Restore | Undelete | DeleteFolder | EmptyTrash | Zip | AssignOwners | HandOver | DeleteUser | TakeBack
)

COMMANDS: Mapping[JobKind, type[Command]] = {
    "copy": Copy,
    "move": Move,
    "restore": Restore,
    "undelete": Undelete,
    "delete_folder": DeleteFolder,
    "empty_trash": EmptyTrash,
    "zip": Zip,
    "assign_owners": AssignOwners,
    "hand_over": HandOver,
    "delete_user": DeleteUser,
    "take_back": TakeBack,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that could not be done."""

    what: str
    why: str


@dataclass(slots=True)
class Progress:
    """How far a job has come: how many things are done, how many have failed, and the first hundred failures."""

    done: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)


@dataclass(slots=True)
class CopyProgress(Progress):
    """The progress of a copy, which is one step."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a moved file has left at its old key: the object, and what was current there."""

    bucket: str
    key: str
    version_id: str | None
    etag: str | None
    rank: str

    @classmethod
    def by(cls, file: File) -> "Left":
        """What ``file`` leaves when it moves away."""
        return cls(file.bucket, file.key, file.version_id, file.etag, file.rank)

    @property
    def current(self) -> Current:
        """What was current there, for the observation of its deletion."""
        return Current(self.version_id, self.rank)


@dataclass(slots=True)
class MoveProgress(Progress):
    """The progress of a move.

    Attributes:
        source: what is being copied.
        foretold: the ETag that the copy will have, if it differs from its source's.
        copies: what this job has made at the new key.
        left: set in the transaction in which the file moves: only the object at the old key is left to delete.
    """

    source: Source | None = None
    foretold: str | None = None
    copies: list[Copied] = field(default_factory=list)
    left: Left | None = None


@dataclass(slots=True)
class RestoreProgress(Progress):
    """The progress of a restore.

    Attributes:
        claimed: until when this job has claimed the file.
        copying: a copy was begun.
        foretold: the ETag that the copy will have, if it differs from its source's.
        copies: what this job has made.
    """

    claimed: datetime | None = None
    copying: bool = False
    foretold: str | None = None
    copies: list[Copied] = field(default_factory=list)


@dataclass(slots=True)
class UndeleteProgress(Progress):
    """The progress of bringing deleted files back. ``claimed``: until when the job itself has claimed them."""

    claimed: datetime | None = None


@dataclass(slots=True)
class SweepProgress(Progress):
    """The progress of a job that goes through files by their ids.

    ``after`` is the last file that it has dealt with; ``claimed``: when its claim on the next one ends, if it makes one.
    """

    after: UUID | None = None
    claimed: datetime | None = None


@dataclass(slots=True)
class DeleteUserProgress(SweepProgress):
    """The progress of a user's deletion: see `chalicelib.services.jobs.delete_user`. ``after`` is within the phase.

    ``again``: how often it has begun again.
    """

    phase: DeletionPhase = "files"
    again: int = 0


@dataclass(slots=True)
class TakeBackProgress(Progress):
    """The progress of taking an upload back, which is one step."""


@dataclass(slots=True)
class ZipProgress(Progress):
    """The progress of a zip. ``file_id`` is the file that the zip is written to."""

    file_id: UUID | None = None


@dataclass(slots=True)
class AssignProgress(Progress):
    """The progress of a job that goes through files by their keys. ``after_key`` is the last one that it has looked at."""

    after_key: str | None = None


PROGRESS: Mapping[JobKind, type[Progress]] = {
    "copy": CopyProgress,
    "move": MoveProgress,
    "restore": RestoreProgress,
    "undelete": UndeleteProgress,
    "delete_folder": SweepProgress,
    "empty_trash": SweepProgress,
    "zip": ZipProgress,
    "assign_owners": AssignProgress,
    "hand_over": SweepProgress,
    "delete_user": DeleteUserProgress,
    "take_back": TakeBackProgress,
}


@dataclass(frozen=True, slots=True)
class JobResult:
    """The file that a job has made or moved, and when that file expires, if it does."""

    file_id: UUID | None = None
    expires_at: datetime | None = None


def act_of(kind: JobKind) -> Act:
    """What the trail says that somebody did who had a job of this kind made."""
    if kind == "undelete":
        return "restore"
    if kind == "take_back":
        return "abandon"
    return kind


def kind_of(command: Command) -> JobKind:
    """The kind of job that a command is for."""
    return next(kind for kind, of_kind in COMMANDS.items() if type(command) is of_kind)
