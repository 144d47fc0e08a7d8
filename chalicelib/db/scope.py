"""Whose rows a query is about. Every query over rows with owners takes a scope, so that none is written without one."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Owner:
    """What belongs to one user, or a part of it.

    Attributes:
        prefix: only files whose object's key begins so.
        session_id: only this session of the user's, and its files.
    """

    user_id: UUID
    prefix: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Everyone:
    """What belongs to anybody, or to nobody: for operators, and for Landfall itself."""


# Where statements that act for an owner find their tables, as views: see `chalicelib.db.member_views`.
MEMBER_SCHEMA, PART_SCHEMA = "landfall_member", "landfall_part"

Scope = Owner | Everyone
EVERYONE = Everyone()


def bound_owner(scope: Scope) -> UUID | None:
    """The value of ``:owner_id`` in `IN_SCOPE`."""
    return scope.user_id if isinstance(scope, Owner) else None


# The condition on a table with an ``owner_id``, whose rows are in no session.
IN_SCOPE = "(CAST(:owner_id AS uuid) IS NULL OR owner_id = CAST(:owner_id AS uuid))"

# The condition on files: `IN_SCOPE`, and the session if the scope is confined to one. Its values are `bound_scope`'s.
FILE_IN_SCOPE = f"{IN_SCOPE} AND (CAST(:scope_session AS text) IS NULL OR session_id = CAST(:scope_session AS text))"


def bound_scope(scope: Scope) -> dict[str, Any]:
    """The values that `FILE_IN_SCOPE` binds."""
    return {"owner_id": bound_owner(scope), "scope_session": scope.session_id if isinstance(scope, Owner) else None}
