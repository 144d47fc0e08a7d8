"""Reading botocore's answers, and writing what many of S3's operations take."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


def version_argument(version_id: str | None) -> dict[str, str]:
    """The version, as S3's operations on one object take it; nothing for the current one."""
    return {"VersionId": version_id} if version_id else {}


def version_id_of(answer: dict[str, Any]) -> str:
    """The version that an answer tells of; ``""`` for none, and for the one that S3 calls ``null``."""
    return plain_version_id(answer.get("VersionId"))


def plain_version_id(version_id: str | None) -> str:
    """A version id as Landfall has it: ``""`` for none, and for the one that S3 calls ``null``."""
    return "" if version_id in (None, "null") else str(version_id)


def answered_at(answer: dict[str, Any]) -> datetime:
    """When S3 answered, by its own clock: to the second, like its ``Last-Modified``."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date).astimezone(UTC) if date else datetime.now(UTC)
