"""The two roles of a user."""

from typing import Literal

Role = Literal["member", "operator"]
