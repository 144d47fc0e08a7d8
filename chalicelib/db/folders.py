"""Reading keys as folders. `^@` is "starts with"; a folder ends with the first slash behind the prefix."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.db.cursors import decode_values, encode_values
from chalicelib.db.pages import Page, PageReader, page_statement
from chalicelib.db.scope import IN_SCOPE, Scope, bound_owner
from chalicelib.errors import InvalidCursor
from chalicelib.ids import first_uuid7

_BELOW = f"FROM files WHERE bucket = :bucket AND key ^@ :prefix AND {IN_SCOPE}"
_FOLDERS = page_statement(
    "prefix, substr(prefix, length(:prefix) + 1, length(prefix) - length(:prefix) - 1) AS name, files, bytes",
    ("prefix",),
    f"""
    SELECT substr(key, 1, length(:prefix) + strpos(substr(key, length(:prefix) + 1), '/')) AS prefix,
        count(*) AS files, coalesce(sum(size), 0) AS bytes
    {_BELOW} AND state = 'stored' AND strpos(substr(key, length(:prefix) + 1), '/') > 0
        AND (CAST(:after AS text) IS NULL OR key > CAST(:after AS text) COLLATE "C" AND NOT key ^@ CAST(:after AS text))
    GROUP BY 1 ORDER BY 1 LIMIT :limit
""",
)
_SUM = text(f"SELECT count(*) AS files, coalesce(sum(size), 0) AS bytes {_BELOW} AND state = 'stored'")
_FILES = text(f"""
SELECT id {_BELOW} AND state <> 'deleted' AND id < CAST(:until AS uuid)
    AND (CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid))
ORDER BY id LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class Folder:
    """All files in a bucket whose keys start with ``prefix``."""

    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class FolderSum:
    """Stored files in a folder, at any depth, and their bytes."""

    files: int
    bytes: int


def list_folders(session: Session, scope: Scope, folder: Folder, limit: int, cursor: str | None) -> Page:
    """A page of the folders right below a folder, in the order of their names: prefix, name, files, bytes.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    reader = PageReader(session, limit)
    reader.read(_FOLDERS, _bound(scope, folder) | {"after": _decode(cursor, folder.prefix) if cursor else None})
    return reader.page(lambda place: encode_values("folders", *place))


def sum_below(session: Session, scope: Scope, folder: Folder) -> FolderSum:
    """What is in a folder, at any depth."""
    row = session.execute(_SUM, _bound(scope, folder)).one()
    return FolderSum(row.files, int(row.bytes))


def files_below(
    session: Session, scope: Scope, folder: Folder, until: datetime, after: UUID | None, limit: int
) -> Sequence[UUID]:
    """Ids of files in a folder that aren't deleted and were created before ``until``, in the order of their creation."""
    bound = _bound(scope, folder) | {"until": first_uuid7(until), "after": after, "limit": limit}
    return session.scalars(_FILES, bound).all()


def _bound(scope: Scope, folder: Folder) -> dict[str, object]:
    return {"bucket": folder.bucket, "prefix": folder.prefix, "owner_id": bound_owner(scope)}


def _decode(cursor: str, prefix: str) -> str:
    (folder,) = decode_values(cursor, "folders", 1)
    if not isinstance(folder, str) or not folder.startswith(prefix):
        raise InvalidCursor
    return folder
