"""What users and their API keys may do."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

# The two roles of a user.
Role = Literal["member", "operator"]

# What an API key may be for: reading, changing, and what operators and owners of accounts do. None of them includes another.
KeyScope = Literal["read", "write", "admin"]
KEY_SCOPES: tuple[KeyScope, ...] = ("read", "write", "admin")

# What a session's owner may give to others.
SessionRole = Literal["viewer", "editor"]
# Each one includes those before it.
Right = Literal["viewer", "editor", "owner"]
_RIGHTS: tuple[Right, ...] = ("viewer", "editor", "owner")


@dataclass(frozen=True, slots=True)
class Membership:
    """Somebody's right in a session of another user."""

    owner_id: UUID
    session_id: str
    right: Right

    def includes(self, right: Right) -> bool:
        """Whether it is this right, or a greater one."""
        return _RIGHTS.index(self.right) >= _RIGHTS.index(right)
