"""The trail: who did what to which file. It only grows, until the clock forgets what is too old.

The table ``acts`` has what was asked of Landfall, or what the clock did. What S3 told is in ``file_events`` already, and isn't
written twice: the view ``trail`` has both.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.catalog.acts import Act, ActFilters, Actor
from chalicelib.db.arrays import plain, texts
from chalicelib.db.cursors import decode_values, encode_values, moment_in
from chalicelib.db.engine import acting_for, prepared_write
from chalicelib.db.pages import Order, Page, PageReader, in_utc, list_by_id, page_statement
from chalicelib.db.scope import EVERYONE, IN_SCOPE, Scope, bound_owner
from chalicelib.errors import InvalidCursor
from chalicelib.ids import first_uuid7, uuid7_texts

# The owner of a file is looked up by one index probe for each: a join might read the whole table.
_ADD = prepared_write(
    text("""
INSERT INTO acts (id, at, actor_id, key_id, via, act, file_id, owner_id, subject_id, request_id)
SELECT a.id, CAST(:now AS timestamptz), CAST(:actor_id AS uuid), CAST(:key_id AS uuid), CAST(:via AS text), a.act, a.file_id,
    coalesce(CAST(:owner_id AS uuid), (SELECT f.owner_id FROM files AS f WHERE f.id = a.file_id)),
    CAST(:subject_id AS uuid), CAST(:request_id AS text)
FROM unnest(CAST(:ids AS uuid[]), CAST(:acts AS text[]), CAST(:file_ids AS uuid[])) AS a (id, act, file_id)
""")
)

# As `chalicelib.api.schemas.trail.ActOut` has it.
_ITEM = f"""CAST(id AS text) AS id, {in_utc("at")} AS at, act, actor_id, key_id, via, file_id, owner_id, subject_id, request_id"""

# Ids sort by time, so the bounds of times are bounds of ids, and one index serves them.
_LISTED = f"""acts
WHERE {IN_SCOPE}
    AND (CAST(:actor_id AS uuid) IS NULL OR actor_id = :actor_id) AND (CAST(:act AS text) IS NULL OR act = :act)
    AND (CAST(:file_id AS uuid) IS NULL OR file_id = :file_id)
    AND (CAST(:first AS uuid) IS NULL OR id >= :first) AND (CAST(:stop AS uuid) IS NULL OR id < :stop)"""

_OF_FILE = page_statement(
    _ITEM,
    (in_utc("at"), "id"),
    """
    SELECT * FROM trail AS t
    WHERE t.file_id = CAST(:file_id AS uuid)
        AND (CAST(:after_at AS timestamptz) IS NULL OR (t.at, t.id) < (CAST(:after_at AS timestamptz), :after_id))
    ORDER BY t.at DESC, t.id DESC
    LIMIT :limit
""",
)

_FORGET = text("""
DELETE FROM acts WHERE id IN (SELECT id FROM acts WHERE id < CAST(:before AS uuid) ORDER BY id LIMIT :limit)
""")


def add_acts(
    session: Session,
    actor: Actor,
    done: Sequence[tuple[Act, UUID | None]],
    now: datetime,
    *,
    owner_id: UUID | None = None,
    subject_id: UUID | None = None,
) -> None:
    """Note acts, each with the file that it was done to; they are there if this transaction commits.

    Args:
        owner_id: whom they concern; None: each file's owner.
        subject_id: the share, key, user, job or other thing that they are about, beside the files.
    """
    values = {
        "ids": plain(uuid7_texts(now, len(done))),
        "acts": texts([act for act, _ in done]),
        "file_ids": plain([file_id and str(file_id) for _, file_id in done]),
        "actor_id": actor.user_id,
        "key_id": actor.key_id,
        "via": actor.cause.via,
        "request_id": actor.cause.request_id,
    }
    with acting_for(session, EVERYONE):  # members read what was done, and write none of it
        session.execute(_ADD, {**values, "owner_id": owner_id, "subject_id": subject_id, "now": now})


def list_acts(session: Session, scope: Scope, filters: ActFilters, limit: int, cursor: str | None) -> Page:
    """A page of what was done to files or accounts of a scope, the latest first.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    bound = {
        "owner_id": bound_owner(scope),
        "actor_id": filters.actor_id,
        "act": filters.act,
        "file_id": filters.file_id,
        "first": filters.since and first_uuid7(filters.since),
        "stop": filters.until and first_uuid7(filters.until),
    }
    return list_by_id(session, Order(f"acts {filters}", descending=True), _ITEM, _LISTED, bound, limit, cursor)


def list_file_trail(session: Session, file_id: UUID, limit: int, cursor: str | None) -> Page:
    """A page of what was done to a file, and of what S3 told of it, the latest first.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    name = f"trail {file_id}"
    at, identifier = _place_in(cursor, name) if cursor else (None, None)
    reader = PageReader(session, limit)
    reader.read(_OF_FILE, {"file_id": file_id, "after_at": at, "after_id": identifier})
    return reader.page(lambda place: encode_values(name, *place))


def _place_in(cursor: str, name: str) -> tuple[datetime, str]:
    at, identifier = decode_values(cursor, name, 2)
    if not isinstance(identifier, str):
        raise InvalidCursor
    return moment_in(at), identifier


def forget_acts(session: Session, before: datetime, limit: int) -> int:
    """Delete up to ``limit`` acts of before then, the oldest first; returns how many."""
    values = {"before": first_uuid7(before), "limit": limit}
    return int(session.connection().execute(_FORGET, values).rowcount)
