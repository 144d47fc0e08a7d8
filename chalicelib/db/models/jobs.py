"""What takes longer than a request."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ForeignKey,
    Index,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chalicelib.catalog.commands import JobKind, JobState
from chalicelib.db.models.base import Base, Bytewise, Moment, one_of


class Job(Base):
    """Work that may take longer than a request. The table is its own queue: see `chalicelib.db.jobs`.

    A job that an API key made may do no more than the key: ``as_member``, ``prefix`` and ``session_id`` are what bounds it.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        one_of("kind", JobKind),
        one_of("state", JobState),
        Index(None, "owner_id", "id"),
        Index(None, "run_after", postgresql_where=text("state IN ('queued', 'running')")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    as_member: Mapped[bool] = mapped_column(server_default=text("false"))
    prefix: Mapped[str | None] = mapped_column(Bytewise)
    session_id: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[JobKind] = mapped_column(Text)
    state: Mapped[JobState] = mapped_column(Text)
    command: Mapped[dict[str, Any]] = mapped_column(JSONB)
    progress: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    problem: Mapped[str | None] = mapped_column(Text)
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    run_after: Mapped[datetime] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment)
    updated_at: Mapped[datetime] = mapped_column(Moment)
