"""How far jobs of each kind have come. The database keeps it as JSON, by the same rules as `chalicelib.catalog.commands`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from chalicelib.catalog.commands import JobKind
from chalicelib.catalog.files import File
from chalicelib.catalog.objects import Copied, CopyUpload, Current, Source

DeletionPhase = Literal["files", "trash", "tombstones", "again"]


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
    """The progress of a copy.

    Attributes:
        upload: the upload in which it is made in parts; uploads: how many were begun.
        foretold: the ETag that the copy will have, if it is made in parts.
    """

    upload: CopyUpload | None = None
    uploads: int = 0
    foretold: str | None = None


@dataclass(slots=True)
class CopiesProgress(CopyProgress):
    """The progress of a job that makes copies where others may put something, too. ``copies``: what it has made."""

    copies: list[Copied] = field(default_factory=list)


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
class MoveProgress(CopiesProgress):
    """The progress of a move.

    Attributes:
        source: what is being copied.
        left: set in the transaction in which the file moves: only the object at the old key is left to delete.
    """

    source: Source | None = None
    left: Left | None = None


@dataclass(slots=True)
class RestoreProgress(CopiesProgress):
    """The progress of a restore.

    Attributes:
        claimed: until when this job has claimed the file.
        copying: a copy was begun.
    """

    claimed: datetime | None = None
    copying: bool = False


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
