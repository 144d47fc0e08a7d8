"""Identities of deleted users. Whoever signs in with one is refused until an operator lets it in. For operators."""

from uuid import UUID

from chalicelib.db import identities
from chalicelib.db.pages import Page
from chalicelib.errors import NotFound
from chalicelib.services.accounts import trail
from chalicelib.services.context import Transaction

_DOING = "decide who comes back"


def list_barred(tx: Transaction, limit: int, cursor: str | None) -> Page:
    """A page of the identities of deleted users, in the order of their deletion.

    Raises:
        Forbidden: the caller is no operator. InvalidCursor: the cursor is not one of this list.
    """
    tx.principal.require_operator(_DOING)
    return identities.list_barred(tx.session, limit, cursor)


def admit_barred(tx: Transaction, identity_id: UUID) -> None:
    """Let an identity sign in again. It becomes a new user then, with nothing of the deleted one.

    Raises:
        Forbidden: the caller is no operator. NotFound: no such identity is barred.
    """
    tx.principal.require_operator(_DOING)
    user_id = identities.admit_barred(tx.session, identity_id)
    if user_id is None:
        raise NotFound(f"There is no barred identity {identity_id}.")
    trail.note_about(tx, "admit_identity", user_id, user_id)
