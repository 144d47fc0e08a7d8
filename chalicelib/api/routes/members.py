"""Routes of the members of sessions."""

from chalicelib.api.http.endpoint import ADMIN, Call, Reply, endpoint
from chalicelib.api.http.pages import page_reply
from chalicelib.api.schemas.common import Page
from chalicelib.api.schemas.members import MemberCreate, MemberIdPath, MemberOut, MemberPatch, MemberPath
from chalicelib.api.schemas.sessions import OwnerPageQuery, OwnerQuery, SessionPath
from chalicelib.db.models import SessionMember
from chalicelib.db.session_members import NewMember
from chalicelib.errors import Forbidden, InvalidCursor, NotFound, Unprocessable
from chalicelib.services.accounts import members


@endpoint(
    path=SessionPath,
    query=OwnerPageQuery,
    right="viewer",
    response=Page[MemberOut],
    errors=(NotFound, InvalidCursor),
)
def list_members(call: Call[SessionPath, OwnerPageQuery, None]) -> Reply:
    """List the members of a session.

    The owner is none of them. Members see who else is one, but not the addresses of others.
    """
    query = call.query
    return page_reply(call, members.list_members(call.tx, call.path.session_id, query.limit, query.cursor))


@endpoint(
    needs=ADMIN,
    path=SessionPath,
    query=OwnerQuery,
    body=MemberCreate,
    response=MemberOut,
    status=201,
    also=(200,),
    errors=(NotFound, Forbidden, Unprocessable),
)
def put_member(call: Call[SessionPath, OwnerQuery, MemberCreate]) -> Reply:
    """Share a session.

    Only for its owner. 200 if it was shared with them before: then the role is changed. An address that no user has is kept, and
    counts as soon as somebody has it: the answer doesn't tell which addresses are known. The `Location` header says where the
    member is.
    """
    body, session_id = call.body, call.path.session_id
    member, is_new = members.put_member(call.tx, session_id, NewMember(body.user_id, body.email, body.role))
    shown = _shown(member)
    location = f"{call.base_url}/api/sessions/{session_id}/members/{member.id}"
    return Reply(shown, 201 if is_new else 200, {"Location": location})


@endpoint(
    needs=ADMIN, path=MemberIdPath, query=OwnerQuery, body=MemberPatch, response=MemberOut, errors=(NotFound, Forbidden)
)
def patch_member(call: Call[MemberIdPath, OwnerQuery, MemberPatch]) -> MemberOut:
    """Change the role of a member.

    Only for the session's owner. It counts with the next request.
    """
    member = members.change_member(call.tx, call.path.session_id, call.path.member_id, call.body.role)
    return _shown(member)


@endpoint(
    needs=ADMIN,
    path=MemberPath,
    query=OwnerQuery,
    right="viewer",
    response=None,
    status=204,
    errors=(NotFound, Forbidden),
)
def remove_member(call: Call[MemberPath, OwnerQuery, None]) -> None:
    """End the sharing with a member.

    Only for the session's owner; every member may remove `me`. It counts with the next request; links to bytes that were given
    out before end by themselves.
    """
    named = call.path.member_id
    members.remove_member(call.tx, call.path.session_id, None if named == "me" else named)


def _shown(member: SessionMember) -> MemberOut:
    """A member as its session's owner sees it: who has an address is not told."""
    shown = MemberOut.model_validate(member)
    return shown if member.email is None else shown.model_copy(update={"user_id": None})
