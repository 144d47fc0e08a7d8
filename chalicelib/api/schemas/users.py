"""Users, as clients send and receive them."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from chalicelib.api.schemas.common import SOMETHING, Input, LimitsBody, Output, absent, example, without_controls
from chalicelib.catalog.roles import Role

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(without_controls),
    Field(examples=["Ada"], json_schema_extra=SOMETHING),
]
# Only what is sure to be no address is refused: whether one works is known when mail arrives there.
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$"),
    Field(examples=["ada@example.org"]),
]


class UserPath(Input):
    """Which user."""

    user_id: UUID


class UserDeleteQuery(Input):
    """What is to become of the user's files."""

    files: Literal["erase", "hand-over"] | None = Field(None, description="Left out: the user must have none.")
    to: UUID | None = Field(None, description="With `files=hand-over`: the new owner.")

    @model_validator(mode="after")
    def _says_to_whom(self) -> Self:
        if (self.to is not None) != (self.files == "hand-over"):
            raise ValueError("files=hand-over, and nothing else, needs to.")
        return self


class UserCreate(Input):
    """A new user."""

    model_config = example(name="Ada", email="ada@example.org")

    name: Name
    email: Email | None = Field(None, description="Unique without regard to case.")
    role: Role = Field("member", description="An operator sees and changes what everyone owns.")
    limits: LimitsBody = Field(default_factory=LimitsBody, description="Each one replaces the deployment's default.")


class UserReplace(Input):
    """All of a user. Fields that are left out get their defaults, except role and limits, which stay."""

    model_config = example(name="Ada", email="ada@example.org")

    name: Name
    email: Email | None = None
    role: Role | None = Field(None, description="Left out: as it is.")
    limits: LimitsBody | None = Field(None, description="Left out: as they are.")


class UserPatch(Input):
    """Some fields of a user. Only ``email`` may be null: it removes the address."""

    model_config = example(name="Ada")

    name: Name = Field(default_factory=absent)
    email: Email | None = None
    role: Role = Field(default_factory=absent)
    limits: LimitsBody = Field(default_factory=absent, description="Replaced as a whole.")
    disabled: bool = Field(
        default_factory=absent, description="`true`: nobody may act as the user; `false`: it may again."
    )


class UserOut(Output):
    """A user."""

    id: UUID
    name: str
    email: str | None
    role: Role
    limits: LimitsBody
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None = Field(description="Since when nobody may act as the user; null: it may.")
