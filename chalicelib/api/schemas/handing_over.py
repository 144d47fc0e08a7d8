"""Handing files over, as clients ask for it."""

from uuid import UUID

from chalicelib.api.schemas.common import Input, example


class HandOverTo(Input):
    """To whom."""

    model_config = example(user_id="00000000-0000-7000-8000-000000000001")

    user_id: UUID
