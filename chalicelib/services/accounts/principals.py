"""Who is calling. The one seam between identities and services: services only ever see a `Principal`."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from chalicelib.catalog.roles import KeyScope, Membership, Right, Role
from chalicelib.db.engine import Session
from chalicelib.db.scope import EVERYONE, Owner, Scope
from chalicelib.db.users import find_known_user
from chalicelib.errors import AccountDisabled, Forbidden, MissingScope, Unauthenticated
from chalicelib.services.accounts.key_checking import MARK, KeyRights, check_key
from chalicelib.services.accounts.signing_in import user_of
from chalicelib.services.accounts.signing_keys import SigningKeys
from chalicelib.services.accounts.tokens import Issuer, identity_of
from chalicelib.settings import Settings

DEMO_USER_ID = UUID("00000000-0000-7000-8000-000000000001")
USER_HEADER = "X-Landfall-User"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose identity is known. A member sees what it owns; an operator sees everything.

    Attributes:
        prefix, session_id: the part of what the user owns that an API key is for, as in `chalicelib.db.scope.Owner`.
        key: what the caller's API key allows; None: the caller has sent none, and may do all that its role allows.
        acting: the session of another user that the caller acts in, at this moment, and its right there. Then that session
            is all that a member sees.
    """

    user_id: UUID
    role: Role
    prefix: str | None = None
    session_id: str | None = None
    key: KeyRights | None = None
    acting: Membership | None = None

    @property
    def is_operator(self) -> bool:
        """Whether this caller may see and change what others own."""
        return self.role == "operator" and self.prefix is None and self.session_id is None

    @property
    def key_id(self) -> UUID | None:
        """The API key that the caller has sent."""
        return None if self.key is None else self.key.key_id

    @property
    def scope(self) -> Scope:
        """What this caller may see."""
        return EVERYONE if self.is_operator else self.itself

    @property
    def itself(self) -> Owner:
        """What this caller adds files to: what it owns itself, or the session that it acts in."""
        if self.acting is not None:
            return Owner(self.acting.owner_id, session_id=self.acting.session_id)
        return self.own

    @property
    def own(self) -> Owner:
        """What this caller owns itself, in whatever session it acts."""
        return Owner(self.user_id, self.prefix, self.session_id)

    @property
    def right(self) -> Right:
        """What this caller may do in the session that it acts in, or with its own."""
        return "owner" if self.acting is None else self.acting.right

    @property
    def is_whole(self) -> bool:
        """Whether this caller acts for all of a user. An API key for a part of it gets no further by sharing."""
        return self.own == Owner(self.user_id)

    @property
    def may_be_member(self) -> bool:
        """Whether sessions of others are looked for."""
        return self.role == "member" and self.is_whole

    def acting_as(self, membership: Membership | None) -> "Principal":
        """This caller in a session of another user, or with None, by itself."""
        return replace(self, acting=membership)

    def require_operator(self, doing: str) -> None:
        """Refuse a member.

        Raises:
            Forbidden: the caller is a member.
        """
        if not self.is_operator:
            raise Forbidden(f"Only operators {doing}.")

    def has_scope(self, scope: KeyScope) -> bool:
        """Whether the caller has sent no API key, or one with this scope."""
        return self.key is None or scope in self.key.scopes

    def require_scope(self, *needed: KeyScope) -> None:
        """Refuse an API key that has none of these scopes. Callers without a key need none.

        Raises:
            MissingScope: the key has none of them.
        """
        if self.key is not None and self.key.scopes.isdisjoint(needed):
            raise MissingScope(needed, self.key.key_id)


# Nobody has this id.
NO_USER = UUID(int=0)
# The caller of a route that doesn't ask for an identity. It sees nothing.
ANYBODY = Principal(NO_USER, "member")
# Landfall itself, when a notification or the clock calls. It sees everything, and owns nothing.
LANDFALL = Principal(NO_USER, "operator")
_DEMO = Principal(DEMO_USER_ID, "operator")


@dataclass(frozen=True, slots=True)
class Callers:
    """How this process finds out who is calling."""

    settings: Settings
    keys: SigningKeys
    now: Callable[[], datetime]

    def identify(self, headers: Mapping[str, str], begin: Callable[[], AbstractContextManager[Session]]) -> Principal:
        """The caller behind these request headers (looked up without regard to case).

        A bearer token names a user, who is made the first time; an API key stands for its owner. With
        ``LANDFALL_IDENTITY=demo`` everybody else is the demo operator, and nobody is looked up. In the ``local`` stage
        the header ``X-Landfall-User: <user id>`` names another user; every other stage ignores it, since anyone could
        send it.

        Args:
            begin: gives a session where somebody is to be looked up.

        Raises:
            Unauthenticated: the headers name nobody, or this deployment identifies no one.
            AccountDisabled: nobody may act as this user. KeysUnavailable.
        """
        if self.settings.identity == "none":
            raise Unauthenticated(
                "This deployment identifies no callers yet: set LANDFALL_IDENTITY, or connect an identity provider."
            )
        given = headers.get("authorization")
        if given is not None and (self.settings.oidc_issuers or _has_key(given)):
            return self._bearer(given, begin)
        if self.settings.identity == "oidc":
            raise Unauthenticated(
                "Send a token of the identity provider, or an API key: Authorization: Bearer <token or key>."
            )
        named = headers.get(USER_HEADER) if self.settings.is_local else None
        return _DEMO if named is None else _named_user(named, begin)

    def _bearer(self, given: str, begin: Callable[[], AbstractContextManager[Session]]) -> Principal:
        scheme, _, token = given.strip().partition(" ")
        # A header that comes twice is joined by a comma: see `Exchange.headers`. Which of two tokens counts is nobody's guess.
        if scheme.lower() != "bearer" or not token.strip() or "," in token or " " in token.strip():
            raise Unauthenticated("Send one token or API key, as in Authorization: Bearer <token or key>.")
        options, now = self.settings, self.now()
        if token.strip().startswith(MARK):
            with begin() as session:
                key = check_key(session, token.strip(), now)
            return Principal(key.user_id, key.role, key.prefix, key.session_id, key.rights)
        issuers = [Issuer(url, options.oidc_audiences, options.oidc_email_claim) for url in options.oidc_issuers]
        identity = identity_of(token.strip(), issuers, self.keys, now)
        with begin() as session:
            known = user_of(session, identity, now)
        return Principal(known.user_id, known.role)


def _has_key(authorization: str) -> bool:
    """Whether an API key is meant, in whatever form. A token of an identity provider may hold the same letters elsewhere."""
    return any(part.startswith(MARK) for part in authorization.replace(",", " ").split())


def _named_user(named: str, begin: Callable[[], AbstractContextManager[Session]]) -> Principal:
    try:
        user_id = UUID(named.strip())
    except ValueError:
        raise Unauthenticated(f"The header {USER_HEADER} does not hold a user id.") from None
    with begin() as session:
        known = find_known_user(session, user_id)
    if known is None:
        raise Unauthenticated(f"The header {USER_HEADER} names nobody.")
    if known.is_disabled:
        raise AccountDisabled(user_id=user_id)
    return Principal(user_id, known.role)
