"""Files: what the buckets hold, and what owners say of it. A member sees what it owns; an operator everything."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from chalicelib.catalog.changes import ObjectChange
from chalicelib.catalog.limits import check_file
from chalicelib.catalog.objects import Current, Deletion
from chalicelib.catalog.observations import observe_deletion
from chalicelib.db import facet_queries, file_history, file_queries
from chalicelib.db.file_filters import FileFilters
from chalicelib.db.file_queries import FileDocument
from chalicelib.db.locks import lock_files
from chalicelib.db.models import File
from chalicelib.db.models import Session as UploadSession
from chalicelib.db.pages import Slice
from chalicelib.db.recording import record_changes
from chalicelib.db.search import index_files
from chalicelib.errors import Conflict, NotFound, PreconditionFailed, Unprocessable
from chalicelib.services import Transaction, in_transaction, sessions
from chalicelib.services.pending import abort_parts, check_quotas, check_version, give_up_uploads, policies_of
from chalicelib.services.principals import Principal
from chalicelib.settings import Settings

if TYPE_CHECKING:
    from chalicelib.store.client import ObjectStore

_INDEXED_BESIDE = 20
_TRIES = 3


class FileChanges(TypedDict, total=False):
    """The fields of a file to change; those left out stay. ``session_id`` None takes the file out of its session."""

    name: str
    session_id: str | None
    metadata: dict[str, Any]
    tags: list[str]


@dataclass(frozen=True, slots=True)
class DownloadLink:
    """A link that needs no other credentials, until ``expires_at``."""

    url: str
    expires_at: datetime


def list_files(
    session: Session, principal: Principal, filters: FileFilters, sort: str, limit: int, cursor: str | None
) -> Slice[FileDocument]:
    """A page of the caller's files that match; see `file_queries.list_files`.

    Raises:
        InvalidCursor: the cursor is not one of this list.
    """
    if not principal.is_operator:
        if filters.owner_id not in (None, principal.user_id):
            return Slice([], None)
        filters = replace(filters, owner_id=principal.user_id)
    return file_queries.list_files(session, filters, sort, limit, cursor)


def count_files(
    session: Session, principal: Principal, filters: FileFilters, by: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """How many of the caller's files match, and with how many bytes, by each of these facets: see `facet_queries.FACETS`."""
    if not principal.is_operator:
        if filters.owner_id not in (None, principal.user_id):
            return {name: [] for name in by}
        filters = replace(filters, owner_id=principal.user_id)
    return facet_queries.count_files(session, filters, by)


def list_session_files(
    session: Session,
    principal: Principal,
    session_id: str,
    filters: FileFilters,
    sort: str,
    limit: int,
    cursor: str | None,
) -> Slice[FileDocument]:
    """A page of the files in the caller's session.

    Raises:
        NotFound: the caller has no such session.
        InvalidCursor: the cursor is not one of this list.
    """
    found = sessions.get_session(session, principal, session_id)
    filters = replace(filters, owner_id=found.owner_id, session_id=found.session_id)
    return file_queries.list_files(session, filters, sort, limit, cursor)


def get_file(session: Session, principal: Principal, file_id: UUID) -> FileDocument:
    """A file that is there, or waits for its object.

    Raises:
        NotFound: there is none for this caller, or it was deleted; then the message says when.
    """
    return present_file(visible_file(session, principal, file_id))


def visible_file(session: Session, principal: Principal, file_id: UUID, lock: bool = False) -> FileDocument:
    """A file in whatever state. ``lock``: keep others from changing its row until the transaction ends.

    Raises:
        NotFound: there is none for this caller.
    """
    owner_id = None if principal.is_operator else principal.user_id
    file = file_queries.find_file(session, file_id, owner_id, lock)
    if file is None:
        raise NotFound(f"There is no file {file_id}.")
    return file


def present_file(file: FileDocument) -> FileDocument:
    """``file``, unless it was deleted.

    Raises:
        NotFound: it was; says when, and why if it was never stored.
    """
    if file["state"] == "deleted":
        why = (file.get("upload") or {}).get("problem")
        raise NotFound(
            f"The file {file['id']} is deleted since {file['updated_at']}. "
            f"{why or 'Its /versions and /events still answer.'}"
        )
    return file


def find_state(session: Session, bucket: str, key: str) -> tuple[str | None, str | None]:
    """State and ETag of the file at ``key``, both None if there is none. Asked by operations, not by a caller."""
    found = session.execute(select(File.state, File.etag).where(File.key == key, File.bucket == bucket)).one_or_none()
    return (found.state, found.etag) if found else (None, None)


def list_versions(
    session: Session, principal: Principal, file_id: UUID, limit: int, cursor: str | None
) -> Slice[dict[str, Any]]:
    """A page of a file's versions, delete markers among them; of a deleted file, too.

    Raises:
        NotFound: there is no such file for this caller. InvalidCursor: the cursor is not one of this list.
    """
    file = visible_file(session, principal, file_id)
    return file_history.list_versions(session, file["id"], limit, cursor)


def list_events(
    session: Session, principal: Principal, file_id: UUID, limit: int, cursor: str | None
) -> Slice[dict[str, Any]]:
    """A page of what happened to a file's key; of a deleted file, too.

    Raises:
        NotFound: there is no such file for this caller. InvalidCursor: the cursor is not one of this list.
    """
    file = visible_file(session, principal, file_id)
    return file_history.list_events(session, file["id"], limit, cursor)


def download_link(
    session: Session,
    store: "ObjectStore",
    principal: Principal,
    file_id: UUID,
    version_id: str | None,
    inline: bool,
    options: Settings,
    now: datetime,
) -> DownloadLink:
    """A presigned link to a file's current version, or to an earlier one that S3 still holds.

    ``version_id`` ``"null"`` is the one from before the bucket was versioned. A deleted file's versions count towards no quota,
    so a member must restore the file first; an operator need not.

    Raises:
        NotFound: there is no such file or version for this caller, or the file was deleted.
        Conflict: the file's bytes haven't arrived yet, or a member asks for a version of a deleted file.
        AgainstPolicy: see `check_version`.
    """
    file = visible_file(session, principal, file_id)
    bucket, key = file["bucket"], file["key"]
    if version_id is None:
        if present_file(file)["state"] == "pending":
            raise Conflict("The file's bytes have not arrived yet.")
        version, media_type = file["version_id"], file["media_type"]
    else:
        found = file_history.find_version(session, file, version_id)
        if found is None:
            raise NotFound(f"The file {file_id} has no such version, or it holds no bytes.")
        if file["state"] == "deleted" and not principal.is_operator:
            raise Conflict("The file is deleted. Restore it, or this version of it, to download it.")
        check_version(session, options, principal, file, found)
        bucket, key, version, media_type = found.bucket, found.key, found.version_id, found.media_type
    # S3 takes a link without version for the current one, whatever that is by then.
    signed = version or ("null" if version_id is not None and file["version_id"] else None)
    url = store.links.download(bucket, key, signed, file["name"], media_type, options.link_seconds, inline)
    return DownloadLink(url, now + timedelta(seconds=options.link_seconds))


def change_file(
    session: Session,
    principal: Principal,
    file_id: UUID,
    changes: FileChanges,
    now: datetime,
    options: Settings,
    revisions: Container[str] | None = None,
) -> FileDocument:
    """A file with ``changes`` made to it; its metadata and tags are replaced as a whole.

    A file that nobody owns (somebody put it straight into the bucket) becomes the caller's with the session it gets.

    Raises:
        NotFound: there is no such file for this caller, or it was deleted.
        PreconditionFailed: it is at none of these ``revisions``.
        Unprocessable: the file's owner has no such session. OverQuota, AgainstPolicy: the session doesn't take it.
    """
    if (wanted := changes.get("session_id")) is not None:  # before the file: see `chalicelib.db.locks`
        owner_id = visible_file(session, principal, file_id)["owner_id"]
        _require_session(session, UUID(owner_id) if owner_id else principal.user_id, wanted)
    file = present_file(visible_file(session, principal, file_id, lock=True))
    check_revision(file, revisions)
    values: dict[str, Any] = dict(changes)
    if "metadata" in values:
        values["metadata_"] = values.pop("metadata")
    if changes.get("session_id") is not None:
        values["owner_id"] = UUID(file["owner_id"]) if file["owner_id"] else principal.user_id
    if values:
        session.execute(update(File).where(File.id == file_id).values(**values, updated_at=now))
        if changes.get("session_id") not in (None, file["session_id"]):
            policies = policies_of(session, options, values["owner_id"], values["session_id"])
            of_session = [policy for policy in policies if policy.session_id]
            check_file([(policy.whose, policy.limits) for policy in of_session], file["size"], file["media_type"])
            check_quotas(session, of_session, values["owner_id"])
        index_files(session, _INDEXED_BESIDE)  # this file, and others that wait
    return file_queries.find_files(session, [file_id])[0]


def check_revision(file: FileDocument, revisions: Container[str] | None) -> None:
    """Refuse to go on if the caller knows another state of the file; None: whatever state it is in.

    ``revisions`` are first parts of revisions: see `file_queries`.

    Raises:
        PreconditionFailed: the file is at none of ``revisions``.
    """
    if revisions is not None and file["revision"].partition("-")[0] not in revisions:
        raise PreconditionFailed(f"The file {file['id']} was changed meanwhile: read it again, then decide.")


def delete_file(
    transaction: Transaction,
    store: "ObjectStore",
    principal: Principal,
    file_id: UUID,
    now: datetime,
    revisions: Container[str] | None = None,
) -> None:
    """Delete a file's object, and leave a tombstone. In a versioned bucket the versions stay behind a delete marker.
    Of a file that waits for its bytes, the parts that have come are thrown away.

    S3 comes first, with no transaction open: if S3 doesn't answer, nothing has changed; if the database doesn't
    afterwards, the notification of the deletion records it all the same, and deleting again does no harm.

    Raises:
        NotFound: there is no such file for this caller, or it was deleted already.
        PreconditionFailed: it is at none of these ``revisions``.
        StoreUnavailable, DatabaseUnavailable: see above.
    """
    with transaction() as session:
        file = present_file(visible_file(session, principal, file_id))
        check_revision(file, revisions)
    _delete(transaction, store, file, now, only_this=revisions is not None)


def delete_found(
    transaction: Transaction, store: "ObjectStore", file_id: UUID, now: datetime, rank: str | None = None
) -> None:
    """The same, not for a caller but for ourselves. A file that is gone already is no error.

    ``rank``: only if the file's current version still has it.

    Raises:
        PreconditionFailed: ``rank`` is given, and S3 holds another object by now.
    """
    with transaction() as session:
        file = file_queries.find_file(session, file_id, None)
    if file is not None and file["state"] != "deleted" and rank in (None, file["rank"]):
        _delete(transaction, store, file, now, only_this=rank is not None)


def _delete(
    transaction: Transaction, store: "ObjectStore", file: FileDocument, now: datetime, only_this: bool = False
) -> None:
    """``only_this``: only if S3 holds the very object that the file is known to be."""
    if file["upload"]:
        abort_parts(store, file)
    for _ in range(_TRIES):
        deletion = _delete_object(store, file, only_this)
        changes = [observe_deleted(file, deletion)] if deletion else []
        by_now = in_transaction(transaction, partial(_record_deletion, file=file, changes=changes, now=now))
        if by_now is None or by_now["state"] == "deleted" or (deletion and by_now["key"] == file["key"]):
            return
        if deletion is None and (by_now["key"], by_now["etag"]) == (file["key"], file["etag"]):
            _see_next_version(transaction, store, file, now)
        with transaction() as session:
            file = file_queries.find_file(session, UUID(file["id"]), None) or by_now
    raise Conflict(f"The file {file['id']} was changed again and again while it was being deleted; try again.")


def _record_deletion(
    session: Session, file: FileDocument, changes: Sequence[ObjectChange], now: datetime
) -> FileDocument | None:
    """Record what S3 answered to a deletion; returns the file as it is then."""
    file_id = UUID(file["id"])
    lock_files(session, [file_id], {(change.bucket, change.key) for change in changes})
    record_changes(session, changes, now)
    # Without any object ever, there is nothing for the merge to conclude from.
    waiting = update(File).where(File.id == file_id, File.state == "pending")
    session.execute(waiting.values(state="deleted", updated_at=now))
    give_up_uploads(session, [file_id])
    return file_queries.find_file(session, file_id, None)


def _see_next_version(transaction: Transaction, store: "ObjectStore", file: FileDocument, now: datetime) -> None:
    """Record what S3 holds in place of the version that the catalogue knows, before its event comes."""
    from chalicelib.services.arrivals import record_if_there

    with transaction() as session:
        known = file_history.current_at(session, file["bucket"], file["key"])
    record_if_there(transaction, store, file, now, known)


def _delete_object(store: "ObjectStore", file: FileDocument, only_this: bool) -> Deletion | None:
    """What S3 answered; None if it holds another object there by now, of which the catalogue may tell in a moment.

    Raises:
        PreconditionFailed: ``only_this``, and it does.
    """
    if file["state"] != "stored":
        return store.delete(file["bucket"], file["key"])
    try:
        return store.delete_if(file["bucket"], file["key"], file["etag"])
    except NotFound:  # deleted already: its event tells, or this does
        return store.delete(file["bucket"], file["key"])
    except PreconditionFailed:
        if only_this:
            raise
    return None


def observe_deleted(file: FileDocument, deletion: Deletion) -> ObjectChange:
    """What S3 answered to the deletion of a file's object."""
    return observe_deletion(file["bucket"], file["key"], Current(file["version_id"], file["rank"]), deletion)


def _require_session(session: Session, owner_id: UUID, session_id: str) -> None:
    # Locked against deletion until this transaction ends, as the foreign key would do later with a less clear answer.
    statement = (
        select(UploadSession.id)
        .where(UploadSession.owner_id == owner_id, UploadSession.session_id == session_id)
        .with_for_update(key_share=True, read=True)
    )
    if session.scalar(statement) is None:
        raise Unprocessable(f"The file's owner has no session {session_id}.")
