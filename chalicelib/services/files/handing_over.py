"""Handing files over to another user. They leave their sessions, and count for their new owner."""

from collections.abc import Sequence
from uuid import UUID

from chalicelib.catalog.files import File
from chalicelib.db import files, handing_over, users
from chalicelib.db.scope import EVERYONE, Owner
from chalicelib.errors import Conflict, Unprocessable
from chalicelib.services.accounts import trail
from chalicelib.services.context import Transaction
from chalicelib.services.files.reading import visible_file


def hand_over_file(tx: Transaction, file_id: UUID, to: UUID) -> File:
    """The file, which belongs to the user ``to`` now, in whatever state it is.

    Raises:
        NotFound: there is no such file for this caller. Forbidden: the caller is no operator.
        Conflict: it is theirs already, or was changed meanwhile. Unprocessable: see `give`.
    """
    file = visible_file(tx, file_id)
    require_right_to_give(tx)
    if file.owner_id == to:
        raise Conflict("The file belongs to this user already.")
    owner = None if file.owner_id is None else Owner(file.owner_id, session_id=file.session_id)
    if not give(tx, owner, [file_id], to):
        raise Conflict("The file was changed meanwhile: read it again, then decide.")
    return files.read_file(tx.session, EVERYONE, file_id)


def require_right_to_give(tx: Transaction) -> None:
    """Refuse whoever is no operator. What a member could give, another would get unasked: bytes, and less room for its own.

    Raises:
        Forbidden: the caller is no operator.
    """
    tx.principal.require_operator("hand files over")


def give(tx: Transaction, owner: Owner | None, file_ids: Sequence[UUID], to: UUID) -> int:
    """Give those of these files that are still an owner's, in this session, to ``to``; returns how many there were.

    Raises:
        Unprocessable: there is no user ``to``, or it is disabled: it may be about to be deleted with all that it has.
    """
    require_receiver(tx, to)
    trail.note(tx, "hand_over", file_ids, to)
    return handing_over.give_files(tx.session, owner, file_ids, to, tx.now)


def require_receiver(tx: Transaction, to: UUID) -> None:
    """Refuse to give files to nobody, or to somebody as whom nobody may act.

    Raises:
        Unprocessable: see `give`.
    """
    receiver = users.find_known_user(tx.session, to)
    if receiver is None or receiver.is_disabled:
        raise Unprocessable(f"There is no user {to}." if receiver is None else f"The user {to} is disabled.")
