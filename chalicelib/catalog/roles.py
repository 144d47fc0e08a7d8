"""What users and their API keys may do."""

from typing import Literal

# The two roles of a user.
Role = Literal["member", "operator"]

# What an API key may be for: reading, changing, and what operators and owners of accounts do. None of them includes another.
KeyScope = Literal["read", "write", "admin"]
KEY_SCOPES: tuple[KeyScope, ...] = ("read", "write", "admin")
