"""Changing what its owner says about a file."""

from collections.abc import Container
from typing import Any, TypedDict
from uuid import UUID

from chalicelib.catalog.acts import Act
from chalicelib.catalog.files import File
from chalicelib.db import files
from chalicelib.db.scope import EVERYONE, Owner
from chalicelib.db.search import index_files
from chalicelib.db.sessions import has_session
from chalicelib.errors import Forbidden, Unprocessable
from chalicelib.services.accounts.confinement import session_of_new
from chalicelib.services.accounts.policies import policies_for
from chalicelib.services.accounts.trail import note_all
from chalicelib.services.context import Transaction
from chalicelib.services.files.reading import check_revision, present_file, visible_file

_INDEXED_BESIDE = 20


class FileChanges(TypedDict, total=False):
    """The fields of a file to change; those left out stay. ``session_id`` None takes the file out of its session."""

    name: str
    session_id: str | None
    metadata: dict[str, Any]
    tags: list[str]


def change_file(tx: Transaction, file_id: UUID, changes: FileChanges, revisions: Container[str] | None = None) -> File:
    """A file with ``changes`` made to it; its metadata and tags are replaced as a whole.

    A file that was put straight into the bucket belongs to nobody. If it gets a session, the caller becomes its owner.

    Raises:
        NotFound: there is no such file for this caller, or it was deleted.
        PreconditionFailed: the file is at none of these ``revisions``.
        Forbidden: a member of the file's session wants to take it out of there.
        Unprocessable: the file's owner has no such session. OverQuota, AgainstPolicy: the session's policy refuses the
            file.
        Forbidden: the caller's API key is for another session, or for a prefix. A key for a session leaves files in it.
    """
    acting = tx.principal.acting
    if acting is not None and changes.get("session_id", acting.session_id) != acting.session_id:
        raise Forbidden("Only the owner takes a file out of its session.")
    if "session_id" in changes:
        changes = {**changes, "session_id": session_of_new(tx.principal, changes["session_id"])}
    session_id = changes.get("session_id")
    # The session is locked before the file: see `chalicelib.db.locks`.
    if session_id is not None and not has_session(tx.session, _owner(tx, visible_file(tx, file_id)), session_id):
        raise Unprocessable(f"The file's owner has no session {session_id}.")
    file = present_file(visible_file(tx, file_id, lock=True))
    check_revision(file, revisions)
    if not changes:
        return file
    owner = _owner(tx, file)
    columns = files.FileColumns(updated_at=tx.now)
    columns.update(changes)  # type: ignore[typeddict-item]
    if session_id is not None:
        columns["owner_id"] = owner.user_id
    files.change_file(tx.session, file_id, **columns)
    note_all(tx, _acts(file, changes), file_id)
    if session_id not in (None, file.session_id):
        policies = policies_for(tx, owner, session_id).of_session
        policies.check_file(file.size, file.media_type)
        policies.check_quotas(tx)
    with tx.as_landfall():
        index_files(tx.session, _INDEXED_BESIDE)  # this file, and others that wait
    return files.read_file(tx.session, EVERYONE, file_id)


def _acts(file: File, changes: FileChanges) -> list[Act]:
    """What of a file is changed, for the trail."""
    made: dict[Act, bool] = {
        "rename": changes.get("name", file.name) != file.name,
        "session": changes.get("session_id", file.session_id) != file.session_id,
        "metadata": changes.get("metadata", file.metadata) != file.metadata,
        "tags": changes.get("tags", file.tags) != file.tags,
    }
    acts = [act for act, is_made in made.items() if is_made]
    return [*acts, "hand_over"] if file.owner_id is None and changes.get("session_id") else acts


def _owner(tx: Transaction, file: File) -> Owner:
    """A file's owner, or who is about to become it."""
    return Owner(file.owner_id or tx.principal.user_id)
