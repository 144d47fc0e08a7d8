"""Jobs as types: their kinds and states, and what each kind is asked to do. How far it has come: `chalicelib.catalog.progress`.

The database keeps commands and results as JSON with the names of these fields. A job may outlive a release,
so a field that is added needs a default, and no field may change its meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from chalicelib.catalog.acts import Act
from chalicelib.catalog.objects import Location, Source

JobKind = Literal[
    "copy", "move", "restore", "undelete", "delete_folder", "empty_trash", "zip", "assign_owners", "hand_over",
    "delete_user", "take_back",
]  # fmt: skip
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
