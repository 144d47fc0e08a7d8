"""Files of an owner, in an order of creation that tests choose."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

OWNER = UUID("00000000-0000-7000-8000-0000000000a1")
OTHER = UUID("00000000-0000-7000-8000-0000000000a2")
BUCKET = "bounded"

_USER = text(
    "INSERT INTO users (id, name, created_at, updated_at) VALUES (:id, 'Ada', now(), now()) ON CONFLICT DO NOTHING"
)
_FILE = text("""
INSERT INTO files (id, bucket, key, name, state, version_id, owner_id, size, media_type, tags, created_at, updated_at)
VALUES (:id, :bucket, :key, '', :state, CASE WHEN :state = 'stored' THEN '' END, :owner_id,
    CASE WHEN :state = 'stored' THEN 10 END, 'text/plain', :tags, now(), now())
""")


_SESSION = text(
    "INSERT INTO sessions (id, owner_id, session_id, created_at, updated_at) VALUES (:id, :of, 'shared', now(), now())"
)


def add_owners(session: Session) -> None:
    """Add `OWNER`, and `OTHER` with a session that is called ``shared``."""
    for user_id in (OWNER, OTHER):
        session.execute(_USER, {"id": user_id})
    session.execute(_SESSION, {"id": UUID(int=7), "of": OTHER})


def file_id(number: int) -> UUID:
    """The id of the file with this number: higher numbers are newer."""
    return UUID(f"01900000-0000-7000-8000-{number:012x}")


def fill(
    session: Session,
    owner: UUID | None,
    keys: Sequence[str],
    *,
    start: int,
    bucket: str = BUCKET,
    state: str = "stored",
) -> None:
    """Add a file of ten bytes for each key. It is tagged with those words of `mine`, `other` and `early` that its key has."""
    if owner is not None:
        session.execute(_USER, {"id": owner})
    for number, key in enumerate(keys, start):
        tags = [word for word in ("mine", "other", "early") if word in key]
        values = {"id": file_id(number), "bucket": bucket, "key": key, "owner_id": owner, "state": state, "tags": tags}
        session.execute(_FILE, values)
