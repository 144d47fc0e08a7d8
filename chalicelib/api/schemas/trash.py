"""The trash, as clients speak of it."""

from pydantic import Field

from chalicelib.api.schemas.common import Input


class TrashQuery(Input):
    """Whose trash."""

    everyones: bool = Field(False, description="Everyone's files, and those that belong to nobody. Only for operators.")
