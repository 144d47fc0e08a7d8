"""Who did what."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from chalicelib.catalog.acts import Via
from chalicelib.db.models.base import Base, Moment, one_of


class ActRow(Base):
    """What somebody did to a file, or to what is around files. Nothing refers to users or files: it outlives them."""

    __tablename__ = "acts"
    __table_args__ = (
        one_of("via", Via),
        Index(None, "file_id", "at", postgresql_where=text("file_id IS NOT NULL")),
        Index(None, "owner_id", "id", postgresql_where=text("owner_id IS NOT NULL")),
        Index(None, "actor_id", "id", postgresql_where=text("actor_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(Moment)
    actor_id: Mapped[UUID | None]
    key_id: Mapped[UUID | None]
    via: Mapped[Via] = mapped_column(Text)
    act: Mapped[str] = mapped_column(Text)
    file_id: Mapped[UUID | None]
    owner_id: Mapped[UUID | None]
    subject_id: Mapped[UUID | None]
    request_id: Mapped[str | None] = mapped_column(Text)
