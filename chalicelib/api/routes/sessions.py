"""Routes of sessions."""

from chalicelib.api.http.endpoint import Call, Reply, endpoint
from chalicelib.api.http.pages import page_reply
from chalicelib.api.schemas.common import Page, UsageOut
from chalicelib.api.schemas.sessions import (
    OwnerQuery,
    SessionCreate,
    SessionOut,
    SessionPatch,
    SessionPath,
    SessionQuery,
    SessionReplace,
)
from chalicelib.db.models import Session
from chalicelib.db.usage import UsageNow
from chalicelib.errors import Conflict, Forbidden, InvalidCursor, NotFound, TooBroad, Unprocessable
from chalicelib.services.accounts import sessions
from chalicelib.services.accounts.sessions import NewSession, SessionChanges


@endpoint(query=SessionQuery, response=Page[SessionOut], errors=(InvalidCursor,))
def list_sessions(call: Call[None, SessionQuery, None]) -> Reply:
    """List sessions.

    Members see their own sessions, operators see everyone's. With `shared=true`, these are the sessions of others that are shared
    with the caller. To name one of them elsewhere, send its `owner_id`, too.
    """
    query = call.query
    listed = sessions.list_shared_sessions if query.shared else sessions.list_sessions
    return page_reply(call, listed(call.tx, query.sort == "-created", query.limit, query.cursor))


@endpoint(body=SessionCreate, response=SessionOut, status=201, also=(200,), errors=(Conflict, Unprocessable))
def open_session(call: Call[None, None, SessionCreate]) -> Reply:
    """Open a session.

    201 if it is new. If the caller has a session of this id already, 200 with that session, unchanged: opening is safe
    to repeat. Without `session_id`, the server makes one up. The `Location` header says where the session is.
    """
    body = call.body
    new = NewSession(body.session_id, body.name, body.metadata, body.limits.document())
    found, is_new = sessions.open_session(call.tx, new)
    location = f"{call.base_url}/api/sessions/{found.session_id}"
    return Reply(found, 201 if is_new else 200, {"Location": location})


@endpoint(path=SessionPath, query=OwnerQuery, right="viewer", response=SessionOut, errors=(NotFound,))
def get_session(call: Call[SessionPath, OwnerQuery, None]) -> SessionOut:
    """Read a session."""
    found = SessionOut.model_validate(sessions.get_session(call.tx, call.path.session_id))
    return found.model_copy(update={"role": call.tx.principal.right})


@endpoint(path=SessionPath, query=OwnerQuery, body=SessionReplace, response=SessionOut, errors=(NotFound, Forbidden))
def replace_session(call: Call[SessionPath, OwnerQuery, SessionReplace]) -> Session:
    """Replace a session's name, metadata and limits.

    Fields that are left out get their defaults.
    """
    limits = call.body.limits.document()
    changes: SessionChanges = {"name": call.body.name, "metadata": call.body.metadata, "limits": limits}
    return sessions.change_session(call.tx, call.path.session_id, changes)


@endpoint(path=SessionPath, query=OwnerQuery, body=SessionPatch, response=SessionOut, errors=(NotFound, Forbidden))
def patch_session(call: Call[SessionPath, OwnerQuery, SessionPatch]) -> Session:
    """Change a session's name, metadata or limits.

    Fields that are left out stay. `"name": null` removes the name; metadata and limits are replaced as a whole.
    """
    changes = SessionChanges(**call.body.model_dump(exclude_unset=True))  # type: ignore[typeddict-item]
    if "limits" in changes:
        changes["limits"] = call.body.limits.document()
    return sessions.change_session(call.tx, call.path.session_id, changes)


@endpoint(path=SessionPath, query=OwnerQuery, right="viewer", response=UsageOut, errors=(NotFound, TooBroad))
def get_session_usage(call: Call[SessionPath, OwnerQuery, None]) -> UsageNow:
    """Read how many files and bytes a session has."""
    return sessions.usage_of(call.tx, call.path.session_id)


@endpoint(path=SessionPath, query=OwnerQuery, response=None, status=204, errors=(NotFound, Forbidden))
def delete_session(call: Call[SessionPath, OwnerQuery, None]) -> None:
    """Delete a session.

    Its files stay, and belong to no session then. Whoever it was shared with sees them no more.
    """
    sessions.delete_session(call.tx, call.path.session_id)
