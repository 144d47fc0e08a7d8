"""What a caller may make new, if its API key is for a part of what a user owns: a prefix, or a session.

What is there already is found by statements that take the caller's scope, which has the part. A new thing has to be put there.
"""

from uuid import UUID

from chalicelib.catalog.keys import safe_file_name, upload_key
from chalicelib.errors import Forbidden
from chalicelib.services.accounts.principals import Principal


def session_of_new(principal: Principal, session_id: str | None) -> str | None:
    """The session that a new file goes into, or that is opened: the key's own, if it is for one.

    Raises:
        Forbidden: the key is for another session, or for a prefix: those see no sessions.
    """
    if principal.session_id is not None and session_id in (None, principal.session_id):
        return principal.session_id
    if session_id is not None:
        if principal.session_id is not None:
            raise Forbidden(f"This API key is for the session {principal.session_id} alone.")
        if principal.prefix is not None:
            raise Forbidden(f"This API key is for files below {principal.prefix}, and for no session.")
    return session_id


def key_of_new(principal: Principal, file_id: UUID, name: str) -> str:
    """The object's key of a new file: below the prefix, if the caller's API key is for one.

    Raises:
        Forbidden: the prefix isn't below the user's own, ``{user id}/``.
    """
    usual = upload_key(principal.itself.user_id, file_id, name)
    prefix = principal.prefix
    if prefix is None or usual.startswith(prefix):
        return usual
    check_new_key(principal, prefix)
    folder = prefix if prefix.endswith("/") else f"{prefix}/"
    return f"{folder}{file_id}/{safe_file_name(name)}"


def check_new_key(principal: Principal, key: str) -> None:
    """Check that the caller may put an object at a key, or below it.

    Raises:
        Forbidden: the caller is a member, and the key doesn't begin with its id; or its API key is for another prefix.
    """
    if not principal.is_operator and not key.startswith(f"{principal.user_id}/"):
        raise Forbidden(f"A member's keys begin with its own id: {principal.user_id}/.")
    if principal.prefix is not None and not key.startswith(principal.prefix):
        raise Forbidden(f"This API key is for files below {principal.prefix}.")
