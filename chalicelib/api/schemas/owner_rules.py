"""Owner rules, as clients send and receive them."""

from datetime import datetime
from uuid import UUID

from pydantic import Field, field_validator

from chalicelib.api.schemas.common import Input, Output, example

_MAX_KEY_BYTES = 1024


class OwnerRulePath(Input):
    """Which rule."""

    rule_id: UUID


class OwnerRuleCreate(Input):
    """Whom new objects below a prefix are to belong to."""

    model_config = example(prefix="scanner/", user_id="00000000-0000-7000-8000-000000000001")

    bucket: str | None = Field(
        None, min_length=1, max_length=255, description="If left out, the one that uploads go to."
    )
    prefix: str = Field(max_length=_MAX_KEY_BYTES, description="Only keys that begin so; empty: the whole bucket.")
    user_id: UUID

    @field_validator("prefix")
    @classmethod
    def _is_of_keys(cls, prefix: str) -> str:
        if len(prefix.encode()) > _MAX_KEY_BYTES:
            raise ValueError(f"Longer than {_MAX_KEY_BYTES} bytes, as no key is.")
        return prefix


class OwnerRuleOut(Output):
    """Whom new objects belong to that are put straight into a bucket below a prefix. The longest prefix wins."""

    id: UUID
    bucket: str
    prefix: str
    user_id: UUID
    created_at: datetime
