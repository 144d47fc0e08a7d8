"""People who come with a token: each is a user of its own from the first time on."""

from datetime import datetime

from chalicelib.db import identities
from chalicelib.db.engine import Session
from chalicelib.db.identities import KnownUser, NewKnownUser
from chalicelib.ids import uuid7
from chalicelib.services.accounts.tokens import Identity

_MAX_NAME = 200


def user_of(session: Session, identity: Identity, now: datetime) -> KnownUser:
    """The user whom a token names, made now if it comes for the first time: a member.

    A name of an issuer is one user for ever, whatever else its tokens say later. Nobody gets another user's account because of
    an e-mail address.
    """
    known = identities.find_known(session, identity.issuer, identity.subject)
    if known is not None:
        return known
    name = (identity.name or identity.email or identity.subject)[:_MAX_NAME]
    new = NewKnownUser(uuid7(now), name, identity.email, now)
    return identities.add_known(session, identity.issuer, identity.subject, new)
