"""Notifications that failed all their tries."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from chalicelib.db.models.base import Base, Moment


class DeadEvent(Base):
    """See `chalicelib.catalog.dead_events.DeadEvent`. ``message_id`` is the queue's: a letter that comes twice is one."""

    __tablename__ = "dead_events"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(Text, unique=True)
    body: Mapped[str] = mapped_column(Text)
    about: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    sent_at: Mapped[datetime] = mapped_column(Moment)
    tried_at: Mapped[datetime] = mapped_column(Moment)
