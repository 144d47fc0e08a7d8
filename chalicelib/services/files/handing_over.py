"""Handing files over to another user. They leave their sessions, and count for their new owner."""

from collections.abc import Sequence
from uuid import UUID

from chalicelib.catalog.files import File
from chalicelib.db import files, handing_over
from chalicelib.db.scope import EVERYONE, Owner
from chalicelib.db.session_members import find_membership
from chalicelib.errors import Conflict, Forbidden
from chalicelib.services.accounts import trail
from chalicelib.services.accounts.policies import policies_for
from chalicelib.services.context import Transaction
from chalicelib.services.files.reading import visible_file


def hand_over_file(tx: Transaction, file_id: UUID, to: UUID) -> File:
    """The file, which belongs to the user ``to`` now, in whatever state it is.

    Raises:
        NotFound: there is no such file for this caller. Forbidden, OverQuota: see `require_receiver` and `give`.
        Conflict: it is theirs already, or was changed meanwhile. Unprocessable: there is no user ``to``.
    """
    file = visible_file(tx, file_id)
    if file.owner_id == to:
        raise Conflict("The file belongs to this user already.")
    owner = None if file.owner_id is None else Owner(file.owner_id, session_id=file.session_id)
    require_receiver(tx, owner, to)
    if not give(tx, owner, [file_id], to):
        raise Conflict("The file was changed meanwhile: read it again, then decide.")
    with tx.as_landfall():
        return files.read_file(tx.session, EVERYONE, file_id)


def require_receiver(tx: Transaction, owner: Owner | None, to: UUID) -> None:
    """Refuse to give what is an owner's, or in its session, to somebody who didn't ask for it, unless an operator does.

    Raises:
        Forbidden: the caller is neither an operator, nor the owner of a session that is shared with ``to``.
    """
    if tx.principal.is_operator:
        return
    is_own = owner is not None and owner.session_id is not None and owner.user_id == tx.principal.user_id
    with tx.as_landfall():
        is_shared = (
            is_own and owner is not None and find_membership(tx.session, to, owner.user_id, owner.session_id or "")
        )
    if not is_shared:
        raise Forbidden("Only operators hand files over to users with whom the files' session isn't shared.")


def give(tx: Transaction, owner: Owner | None, file_ids: Sequence[UUID], to: UUID) -> int:
    """Give those of these files that are still an owner's, in this session, to ``to``; returns how many there were.

    Raises:
        OverQuota: it is more than ``to`` may have; an operator is not asked. Unprocessable: there is no user ``to``.
    """
    trail.note(tx, "hand_over", file_ids, to)
    with tx.as_landfall():  # what is another's from now on
        given = handing_over.give_files(tx.session, owner, file_ids, to, tx.now)
    if not tx.principal.is_operator:
        with tx.as_landfall():
            policies = policies_for(tx, Owner(to), None)
        policies.check_quotas(tx)
    return given
