"""Copying, moving and restoring one file, as clients ask for it."""

from pydantic import Field

from chalicelib.api.schemas.common import Input, Metadata, example
from chalicelib.api.schemas.files import FileDetail, FileName, Tags
from chalicelib.api.schemas.jobs import JobOut
from chalicelib.api.schemas.sessions import SessionId
from chalicelib.catalog.files import File
from chalicelib.services.files.editing import FileChanges


class FileCopy(Input):
    """What to say about the copy. What is left out is taken from the original."""

    model_config = example(name="A copy.pdf")

    name: FileName | None = None
    session_id: SessionId | None = None
    metadata: Metadata | None = None
    tags: Tags | None = None

    def changes(self) -> FileChanges:
        """What is to differ from the original. Null means "as in the original", but for the session it means none."""
        said = self.model_dump(exclude_unset=True).items()
        changes: FileChanges = {name: value for name, value in said if value is not None or name == "session_id"}  # type: ignore[assignment]
        return changes


class FileMove(Input):
    """The file's new key."""

    key: str = Field(min_length=1, max_length=1024, description="In the same bucket.", examples=["photos/2026/a.jpg"])
    name: FileName | None = Field(None, description="Left out: it stays, or follows the key if it was the old key's.")


class FileInWork(FileDetail):
    """A file, and the job that is still at work on it."""

    job: JobOut | None = Field(description="Null: it is done.")

    @classmethod
    def of(cls, file: File, job: object | None = None) -> "FileInWork":
        """A file with what is known of its job."""
        detail = FileDetail.model_validate(file)
        return cls(**dict(detail), job=None if job is None else JobOut.model_validate(job))


class FileRestore(Input):
    """What to restore."""

    model_config = example()

    version_id: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description="This version becomes the newest one again. Left out: a deleted file comes back as it was.",
    )
