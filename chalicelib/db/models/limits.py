"""What is counted to keep callers within limits. Both tables aren't logged: after a crash of the server nothing has been used."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from chalicelib.db.models.base import Base, Moment


class RateUse(Base):
    """What a user has used of its rate: ``full_at`` is when nothing of it counts any more."""

    __tablename__ = "rates"
    __table_args__ = {"prefixes": ["UNLOGGED"]}  # noqa: RUF012

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    full_at: Mapped[datetime] = mapped_column(Moment)


class Wait(Base):
    """A request that waits, at most ``until`` then."""

    __tablename__ = "waits"
    __table_args__ = (Index(None, "user_id"), {"prefixes": ["UNLOGGED"]})

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    until: Mapped[datetime] = mapped_column(Moment)
