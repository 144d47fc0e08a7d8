"""With whom a session is shared. Only its owner and operators say so; a member may leave."""

from uuid import UUID

from chalicelib.catalog.roles import SessionRole
from chalicelib.db import session_members
from chalicelib.db.models import SessionMember
from chalicelib.db.pages import Page
from chalicelib.db.session_members import NewMember, Viewer
from chalicelib.errors import Forbidden, NotFound, Unprocessable
from chalicelib.services.accounts import trail
from chalicelib.services.accounts.sessions import get_session
from chalicelib.services.context import Transaction


def list_members(tx: Transaction, session_id: str, limit: int, cursor: str | None) -> Page:
    """A page of a session's members, in the order in which they were added.

    A member sees who else is one, but not the addresses of others.

    Raises:
        NotFound: there is no such session for this caller. InvalidCursor: the cursor is not one of this list.
    """
    found = get_session(tx, session_id)
    viewer = Viewer(tx.principal.user_id, tx.principal.right == "owner")
    return session_members.list_members(tx.session, found.id, viewer, limit, cursor)


def put_member(tx: Transaction, session_id: str, new: NewMember) -> tuple[SessionMember, bool]:
    """Share a session with somebody, or change the role of a member; returns the member, and whether it is new.

    An address that no user has is kept, and counts as soon as somebody has it. The answer doesn't tell the two apart.

    Raises:
        NotFound: there is no such session for this caller. Unprocessable: there is no user of this id, or it is the owner.
    """
    found = get_session(tx, session_id)
    if new.user_id == found.owner_id:
        raise Unprocessable("The session belongs to this user.")
    with tx.as_landfall():  # whoever has an address is another user
        member, is_new = session_members.put_member(tx.session, found.id, new, tx.now)
    trail.note_about(tx, "member", member.id, found.owner_id)
    return member, is_new


def change_member(tx: Transaction, session_id: str, member_id: UUID, role: SessionRole) -> SessionMember:
    """A member with another role.

    Raises:
        NotFound: there is no such session for this caller, or no such member.
    """
    found = get_session(tx, session_id)
    member = session_members.change_role(tx.session, found.id, member_id, role, tx.now)
    if member is None:
        raise NotFound(f"There is no member {member_id}.")
    trail.note_about(tx, "change_member", member.id, found.owner_id)
    return member


def remove_member(tx: Transaction, session_id: str, member_id: UUID | None) -> None:
    """End the sharing with a member, or with None, of the caller itself. It counts with the next request, for whatever name the
    member has been added under.

    Links to bytes that were handed out before end by themselves.

    Raises:
        NotFound: there is no such session for this caller, or no such member. Forbidden: a member wants to remove another.
    """
    found = get_session(tx, session_id)
    if member_id is None:
        if not session_members.remove_user(tx.session, found.id, tx.principal.user_id):
            raise NotFound("You are no member of this session.")
        trail.note_about(tx, "remove_member", found.id, found.owner_id)
        return
    if tx.principal.right != "owner":
        raise Forbidden(
            f"This takes the role owner in the session; yours is {tx.principal.right}. To leave, remove me."
        )
    if not session_members.remove_member(tx.session, found.id, member_id, tx.now):
        raise NotFound(f"There is no member {member_id}.")
    trail.note_about(tx, "remove_member", member_id, found.owner_id)
