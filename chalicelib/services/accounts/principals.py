"""Who is calling. The one seam between identities and services: services only ever see a `Principal`."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import UUID

from chalicelib.catalog.roles import Role
from chalicelib.db.engine import Session
from chalicelib.db.scope import EVERYONE, Owner, Scope
from chalicelib.db.users import find_role
from chalicelib.errors import Forbidden, Unauthenticated
from chalicelib.settings import Settings

DEMO_USER_ID = UUID("00000000-0000-7000-8000-000000000001")
USER_HEADER = "X-Landfall-User"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose identity is known. A member sees what it owns; an operator sees everything."""

    user_id: UUID
    role: Role

    @property
    def is_operator(self) -> bool:
        """Whether this caller may see and change what others own."""
        return self.role == "operator"

    @property
    def scope(self) -> Scope:
        """What this caller may see."""
        return EVERYONE if self.is_operator else self.itself

    @property
    def itself(self) -> Owner:
        """What this caller owns itself, whatever else it may see."""
        return Owner(self.user_id)

    def require_operator(self, doing: str) -> None:
        """Refuse a member.

        Raises:
            Forbidden: the caller is a member.
        """
        if not self.is_operator:
            raise Forbidden(f"Only operators {doing}.")


# Nobody has this id.
_NO_USER = UUID(int=0)
# The caller of a route that doesn't ask for an identity. It sees nothing.
ANYBODY = Principal(_NO_USER, "member")
# Landfall itself, when a notification or the clock calls. It sees everything, and owns nothing.
LANDFALL = Principal(_NO_USER, "operator")
_DEMO = Principal(DEMO_USER_ID, "operator")


def identify(
    headers: Mapping[str, str], settings: Settings, begin: Callable[[], AbstractContextManager[Session]]
) -> Principal:
    """The caller behind these request headers (looked up without regard to case).

    ``begin`` gives a session where somebody is to be looked up. With ``LANDFALL_IDENTITY=demo`` everybody is the demo
    operator, and nobody is looked up. In the ``local`` stage the
    header ``X-Landfall-User: <user id>`` names another user; every other stage ignores it, since anyone could send it.

    Raises:
        Unauthenticated: the header names nobody, or this deployment identifies no one.
    """
    if settings.identity == "none":
        raise Unauthenticated(
            "This deployment identifies no callers yet: set LANDFALL_IDENTITY, or connect an identity provider."
        )
    named = headers.get(USER_HEADER) if settings.is_local else None
    return _DEMO if named is None else _named_user(named, begin)


def _named_user(named: str, begin: Callable[[], AbstractContextManager[Session]]) -> Principal:
    try:
        user_id = UUID(named.strip())
    except ValueError:
        raise Unauthenticated(f"The header {USER_HEADER} does not hold a user id.") from None
    with begin() as session:
        role = find_role(session, user_id)
    if role is None:
        raise Unauthenticated(f"The header {USER_HEADER} names nobody.")
    return Principal(user_id, role)
