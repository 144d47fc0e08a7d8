"""People who come with a token: each is a user of its own from the first time on."""

from datetime import datetime

from chalicelib.catalog.acts import Actor, Cause
from chalicelib.db import identities
from chalicelib.db.engine import Session
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
    an e-mail address.

    Raises:
        AccountDisabled: nobody may act as this user, or it was deleted.
    """
    known = identities.find_known(session, identity.issuer, identity.subject) or _add(session, identity, now)
    if known.is_disabled:
        raise AccountDisabled(user_id=known.user_id)
    return known


def _add(session: Session, identity: Identity, now: datetime) -> KnownUser:
    name = (identity.name or identity.email or identity.subject)[:_MAX_NAME]
    new = NewKnownUser(uuid7(now), name, identity.email, now)
    added = identities.add_known(session, identity.issuer, identity.subject, new)
    if added.user_id == new.user_id:  # another first request of the same person may have been faster
        actor = Actor(added.user_id, None, Cause("request"))
        add_acts(session, actor, [("first_sight", None)], now, owner_id=added.user_id, subject_id=added.user_id)
    return added
