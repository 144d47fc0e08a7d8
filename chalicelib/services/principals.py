"""Who is calling. The one seam between identities and services: services only ever see a `Principal`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from chalicelib.db.models import User
from chalicelib.errors import Unauthenticated
from chalicelib.settings import Settings

Role = Literal["member", "operator"]

DEMO_USER_ID = UUID("00000000-0000-7000-8000-000000000001")
USER_HEADER = "X-Landfall-User"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose identity is settled. A member sees what it owns; an operator sees everything."""

    user_id: UUID
    role: Role

    @property
    def is_operator(self) -> bool:
        """Whether this caller may see and change what others own."""
        return self.role == "operator"


_DEMO = Principal(DEMO_USER_ID, "operator")


def identify(headers: Mapping[str, str], settings: Settings, session: Session) -> Principal:
    """The caller behind these request headers (looked up without regard to case).

    With ``LANDFALL_IDENTITY=demo`` everybody is the demo operator, which costs no query. In the ``local`` stage the
    header ``X-Landfall-User: <user id>`` names another user; every other stage ignores it, since anyone could send it.

    Raises:
        Unauthenticated: the header names nobody, or this deployment identifies no one.
    """
    if settings.identity == "none":
        raise Unauthenticated(
            "This deployment identifies no callers yet: set LANDFALL_IDENTITY, or connect an identity provider."
        )
    named = headers.get(USER_HEADER) if settings.is_local else None
    return _DEMO if named is None else _named_user(named, session)


def _named_user(named: str, session: Session) -> Principal:
    try:
        user_id = UUID(named.strip())
    except ValueError:
        raise Unauthenticated(f"The header {USER_HEADER} does not hold a user id.") from None
    role = session.scalar(select(User.role).where(User.id == user_id))
    if role is None:
        raise Unauthenticated(f"The header {USER_HEADER} names nobody.")
    return Principal(user_id, cast(Role, role))
