"""Audits: what was asked for, how far they are, what they have found."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Double, ForeignKey, Identity, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from chalicelib.catalog.audits import AuditState, DriftKind
from chalicelib.db.models.base import Base, Bytewise, Moment, one_of

_NONE = text("0")
_NO = text("false")


class Audit(Base):
    """A comparison of a bucket with the catalogue: see `chalicelib.services.truth.auditing`.

    The counts are of what was looked at again, key by key; those of the ranges come on top.
    """

    __tablename__ = "audits"
    __table_args__ = (
        one_of("state", AuditState),
        CheckConstraint("brake BETWEEN 0 AND 1", name="brake"),
        CheckConstraint("grace_seconds >= 0", name="grace"),
        Index(None, "requested_by", postgresql_where=text("requested_by IS NOT NULL")),
        Index("audits_open_idx", "id", postgresql_where=text("finished_at IS NULL")),
        Index(None, "bucket", "finished_at"),
        # Two runs of the clock at once begin one.
        Index(
            "audits_scheduled_key",
            "bucket",
            "prefix",
            unique=True,
            postgresql_where=text("is_scheduled AND finished_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    bucket: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Bytewise, server_default="")
    repairs: Mapped[bool]
    is_scheduled: Mapped[bool] = mapped_column(server_default=_NO)
    state: Mapped[AuditState] = mapped_column(Text)
    brake: Mapped[float] = mapped_column(Double)
    grace_seconds: Mapped[float] = mapped_column(Double)
    requested_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    problem: Mapped[str | None] = mapped_column(Text)
    missing: Mapped[int] = mapped_column(BigInteger, server_default=_NONE)
    different: Mapped[int] = mapped_column(BigInteger, server_default=_NONE)
    gone: Mapped[int] = mapped_column(BigInteger, server_default=_NONE)
    recorded: Mapped[int] = mapped_column(BigInteger, server_default=_NONE)
    created_at: Mapped[datetime] = mapped_column(Moment)
    updated_at: Mapped[datetime] = mapped_column(Moment)
    finished_at: Mapped[datetime | None] = mapped_column(Moment)


class AuditRange(Base):
    """The keys above ``position``, up to ``until`` (null: to the end), which one worker at a time compares.

    ``position`` moves on with each page, in the transaction that records what the page showed. A worker whose lease is over is
    taken to be dead.
    """

    __tablename__ = "audit_ranges"
    __table_args__ = (
        Index("audit_ranges_audit_id_idx", "audit_id", postgresql_where=text("NOT is_done")),
        Index(None, "audit_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    audit_id: Mapped[UUID] = mapped_column(ForeignKey("audits.id", ondelete="CASCADE"))
    position: Mapped[str] = mapped_column(Bytewise)
    until: Mapped[str | None] = mapped_column(Bytewise)
    is_done: Mapped[bool] = mapped_column(server_default=_NO)
    worker: Mapped[UUID | None]
    leased_until: Mapped[datetime | None] = mapped_column(Moment)
    compared: Mapped[int] = mapped_column(BigInteger, server_default=_NONE)
    missing: Mapped[int] = mapped_column(BigInteger, server_default=_NONE)
    different: Mapped[int] = mapped_column(BigInteger, server_default=_NONE)
    recorded: Mapped[int] = mapped_column(BigInteger, server_default=_NONE)


class AuditFinding(Base):
    """A version that differs, or is to be looked at again: then it isn't settled. ``put_rank`` is as it was found."""

    __tablename__ = "audit_findings"
    __table_args__ = (
        one_of("kind", DriftKind),
        Index("audit_findings_open_idx", "audit_id", "key", postgresql_where=text("NOT is_settled")),
    )

    audit_id: Mapped[UUID] = mapped_column(ForeignKey("audits.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    version_id: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    kind: Mapped[DriftKind] = mapped_column(Text, primary_key=True)
    put_rank: Mapped[str] = mapped_column(Bytewise, server_default="")
    found_at: Mapped[datetime] = mapped_column(Moment)
    leased_until: Mapped[datetime | None] = mapped_column(Moment)
    is_settled: Mapped[bool] = mapped_column(server_default=_NO)
