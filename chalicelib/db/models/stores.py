"""What is known of object stores and their buckets."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chalicelib.db.models.base import Base, Moment


class Store(Base):
    """What a probe found out about a store that isn't AWS's: see `chalicelib.store.probing`."""

    __tablename__ = "stores"
    __table_args__ = (CheckConstraint("jsonb_typeof(guarantees) = 'object'", name="guarantees"),)

    endpoint: Mapped[str] = mapped_column(Text, primary_key=True)
    bucket: Mapped[str] = mapped_column(Text, primary_key=True)
    guarantees: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    problem: Mapped[str | None] = mapped_column(Text)
    probed_at: Mapped[datetime] = mapped_column(Moment)


class Bucket(Base):
    """A bucket that was adopted: its events are recorded, and it is audited, as are those that the settings name."""

    __tablename__ = "buckets"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    adopted_at: Mapped[datetime] = mapped_column(Moment)
