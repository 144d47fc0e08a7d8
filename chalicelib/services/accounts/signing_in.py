"""People who come with a token: each is a user of its own from the first time on."""

from datetime import datetime
from uuid import UUID

from chalicelib.catalog.acts import Act, Actor, Cause
from chalicelib.db import identities
from chalicelib.db.engine import Session, commit_so_far
from chalicelib.db.identities import NewKnownUser
from chalicelib.db.trail import add_acts
from chalicelib.db.users import KnownUser
from chalicelib.errors import AccountDisabled
from chalicelib.ids import uuid7
from chalicelib.services.accounts.tokens import Identity

_MAX_NAME = 200


def user_of(session: Session, identity: Identity, now: datetime) -> KnownUser:
    """The user whom a token names, made now if it comes for the first time: a member.

    A name of an issuer is one user for ever, whatever else its tokens say later. Nobody gets another user's account because of
    an e-mail address. A user without one gets that which a later token says, if nobody has it, and is let into what was shared
    with it: many providers have an address verified only after the first time.

    Both are committed at once, whatever becomes of the request that came with the token. Else nobody would remember who it was
    that failed, and what is counted for a user, or shared with an address, would be so for nobody.

    Raises:
        AccountDisabled: nobody may act as this user, or it was deleted.
    """
    found = identities.find_known(session, identity.issuer, identity.subject, identity.email)
    known = found or _add(session, identity, now)
    if found is None:
        commit_so_far(session)
    if known.is_disabled:
        raise AccountDisabled(user_id=known.user_id)
    if known.lacks_email and identity.email and identities.take_email(session, known.user_id, identity.email, now):
        _note(session, "change_user", known.user_id, now)
        commit_so_far(session)
    return known


def _add(session: Session, identity: Identity, now: datetime) -> KnownUser:
    name = (identity.name or identity.email or identity.subject)[:_MAX_NAME]
    new = NewKnownUser(uuid7(now), name, identity.email, now)
    added = identities.add_known(session, identity.issuer, identity.subject, new)
    if added.user_id == new.user_id:  # another first request of the same person may have been faster
        _note(session, "first_sight", added.user_id, now)
    return added


def _note(session: Session, act: Act, user_id: UUID, now: datetime) -> None:
    add_acts(session, Actor(user_id, None, Cause("request")), [(act, None)], now, owner_id=user_id, subject_id=user_id)
