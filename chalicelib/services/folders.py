"""Folders: S3 has none, but keys with slashes look like them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from chalicelib.db import folder_queries
from chalicelib.db.pages import Slice
from chalicelib.services import bulk
from chalicelib.services.jobs import Work
from chalicelib.services.principals import Principal
from chalicelib.settings import Settings

_BATCH = 500


def list_folders(
    session: Session,
    options: Settings,
    principal: Principal,
    bucket: str | None,
    prefix: str,
    limit: int,
    cursor: str | None,
) -> tuple[Slice[dict[str, Any]], dict[str, int]]:
    """A page of the folders right below ``prefix``, with what is in each at any depth; and what is below ``prefix`` in all.

    A member's folders hold what it owns. Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    owner_id = None if principal.is_operator else principal.user_id
    place = (bucket or options.bucket, prefix, owner_id)
    return folder_queries.list_folders(session, *place, limit, cursor), folder_queries.sum_below(session, *place)


def delete_step(work: Work) -> bool:
    """Delete some hundred of the files below a prefix that were there when the job was made; the oldest first."""
    command, progress = work.command, work.progress
    after, until = progress.get("after"), datetime.fromisoformat(command["until"])
    owner_id = None if work.principal.is_operator else work.principal.user_id
    with work.transaction() as session:
        found = folder_queries.files_below(
            session, command["bucket"], command["prefix"], owner_id, until, after and UUID(after), _BATCH
        )
    outcomes = bulk.delete_files(work.transaction, work.store, work.principal, found, work.clock())
    for outcome in outcomes:
        if outcome.error is None:
            progress["done"] = progress.get("done", 0) + 1
        else:
            work.note_failure(str(outcome.file_id), outcome.error)
    if found:
        progress["after"] = str(found[-1])
    return len(found) < _BATCH
