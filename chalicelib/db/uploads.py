"""The uploads table: how the bytes of pending files are to come."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session
from typing_extensions import Unpack

from chalicelib.catalog.files import UploadMethod, UploadState
from chalicelib.catalog.objects import Part
from chalicelib.db.arrays import plain, rows_as_json
from chalicelib.db.engine import prepared_write
from chalicelib.db.models import File, Upload
from chalicelib.db.scope import Owner, Scope

_ADD = prepared_write(
    text("""
INSERT INTO uploads (file_id, owner_id, client_key, method, size, media_type, sha256, part_size, expires_at, created_at)
SELECT * FROM json_to_recordset(CAST(:uploads AS json)) AS u (file_id uuid, owner_id uuid, client_key text, method text,
    size bigint, media_type text, sha256 text, part_size bigint, expires_at timestamptz, created_at timestamptz)
""")
)
_CLOSE = prepared_write(
    text("UPDATE uploads SET closed_at = CAST(:now AS timestamptz) WHERE file_id = ANY(CAST(:ids AS uuid[]))")
)


@dataclass(frozen=True, slots=True)
class UploadRow(UploadState):
    """One upload, with what only the upkeep and clients that ask again need to know.

    Attributes:
        client_key: the key that a client proposed, which is not the file's.
        parts: what a complete upload was made of.
    """

    file_id: UUID
    client_key: str | None
    parts: list[Part]
    closed_at: datetime | None
    judged_rank: str | None
    created_at: datetime


class NewUpload(TypedDict):
    """A row to add: see `UploadRow`."""

    file_id: UUID
    owner_id: UUID
    client_key: str | None
    method: UploadMethod
    size: int | None
    media_type: str | None
    sha256: str | None
    part_size: int | None
    expires_at: datetime
    created_at: datetime


class UploadColumns(TypedDict, total=False):
    """Columns of an upload to change."""

    multipart_id: str
    size: int | None
    parts: list[dict[str, Any]]
    expires_at: datetime
    problem: str
    closed_at: datetime
    judged_rank: str


def add_uploads(session: Session, uploads: Sequence[NewUpload]) -> None:
    """Add uploads of pending files."""
    session.execute(_ADD, {"uploads": rows_as_json(uploads)})


def find_upload(session: Session, scope: Scope, file_id: UUID) -> UploadRow | None:
    """The upload of a file; None if it never had one, or hasn't one any more."""
    found = select(Upload).where(Upload.file_id == file_id)
    if isinstance(scope, Owner):
        found = found.where(Upload.owner_id == scope.user_id)
        if scope.session_id is not None:
            found = found.where(Upload.file_id.in_(select(File.id).where(File.session_id == scope.session_id)))
    row = session.scalars(found.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        return None
    parts = [Part(part["number"], part["etag"], part["size"]) for part in row.parts or ()]
    return UploadRow(
        parts=parts, **{one.name: getattr(row, one.name) for one in fields(UploadRow) if one.name != "parts"}
    )


def find_same_pending(
    session: Session, owner: Owner, client_key: str, size: int | None, media_type: str | None, sha256: str | None
) -> UUID | None:
    """The owner's newest pending file with the same proposed key and the same announced size, type and SHA-256.

    It is in the session that ``owner`` says, or in none: an upload into one session never goes on in another.
    """
    same = (
        Upload.owner_id == owner.user_id,
        Upload.client_key == client_key,
        Upload.size.is_not_distinct_from(size),
        Upload.media_type.is_not_distinct_from(media_type),
        Upload.sha256.is_not_distinct_from(sha256),
    )
    is_there = File.session_id.is_not_distinct_from(owner.session_id)
    waiting = select(File.id).join(Upload, Upload.file_id == File.id).where(*same, File.state == "pending", is_there)
    return session.scalar(waiting.order_by(File.id.desc()).limit(1))


def change_upload(session: Session, file_id: UUID, **columns: Unpack[UploadColumns]) -> None:
    """Change columns of a file's upload."""
    session.execute(update(Upload).where(Upload.file_id == file_id).values(**columns))


def still_ends_at(session: Session, file_id: UUID, expires_at: datetime) -> bool:
    """Whether the time of an upload is up at ``expires_at``. If so, nobody changes that until the transaction ends."""
    same = select(Upload.file_id).where(Upload.file_id == file_id, Upload.expires_at == expires_at)
    return session.scalar(same.with_for_update()) is not None


def save_parts(session: Session, file_id: UUID, parts: Sequence[Part]) -> None:
    """Keep what an object is about to be made of, for a client that asks again."""
    kept = [{name: value for name, value in asdict(part).items() if name != "stored_at"} for part in parts]
    change_upload(session, file_id, parts=kept)


def give_up_uploads(session: Session, file_ids: Collection[UUID]) -> None:
    """Forget the sizes that were announced for these files.

    Their bytes may still come, by a link that is still valid. They are then judged as if no size had been announced.
    """
    session.execute(update(Upload).where(Upload.file_id.in_(file_ids), Upload.closed_at.is_(None)).values(size=None))


def close_uploads(session: Session, file_ids: Collection[UUID], now: datetime) -> None:
    """Note that the bytes of these files have come."""
    session.execute(_CLOSE, {"ids": plain(file_ids), "now": now})
