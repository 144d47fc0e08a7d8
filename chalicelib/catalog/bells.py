"""The bell: an object that a request writes into a bucket of its own, so that S3 tells another process to do a job at once."""

from uuid import UUID

_FOLDER = "jobs/"


def bell_key(job_id: UUID) -> str:
    """The key that rings for a job."""
    return f"{_FOLDER}{job_id}"


def rung_for(key: str) -> UUID | None:
    """The job that a key rings for; None if it is no bell."""
    try:
        return UUID(key.removeprefix(_FOLDER)) if key.startswith(_FOLDER) else None
    except ValueError:
        return None
