"""Who owns files, and how much."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chalicelib.catalog.roles import KeyScope, Role, SessionRole
from chalicelib.db.models.base import Base, Bytewise, Moment, one_of


class User(Base):
    """Somebody who owns files. An operator sees everyone's."""

    __tablename__ = "users"
    __table_args__ = (
        one_of("role", Role),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name"),
        CheckConstraint("jsonb_typeof(limits) = 'object'", name="limits"),
        Index("users_email_key", text("lower(email)"), unique=True),
        Index(None, "name", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    role: Mapped[Role] = mapped_column(Text, server_default="member")
    limits: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(Moment)
    updated_at: Mapped[datetime] = mapped_column(Moment)
    # Since when nobody may act as this user; null: it may.
    disabled_at: Mapped[datetime | None] = mapped_column(Moment)


class UserIdentity(Base):
    """Somebody as an identity provider knows them: its own name for a user, which means nothing with another provider."""

    __tablename__ = "identities"
    __table_args__ = (Index(None, "user_id"),)

    issuer: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    subject: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(Moment)


class BarredIdentity(Base):
    """Somebody whose user was deleted, and who is not to become a new user by signing in again. Only a hash of the name is kept.

    ``user_id`` is the deleted user, and refers to nothing any more.
    """

    __tablename__ = "barred_identities"
    __table_args__ = (UniqueConstraint("identity_hash"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    identity_hash: Mapped[str] = mapped_column(Text)
    user_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(Moment)


class ApiKey(Base):
    """What a machine calls with in its owner's place. Only the hash of its secret is kept.

    ``scopes``, and at most one of ``prefix`` and ``session_id``, say what it may do. ``made_by`` is the key that made it.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        ForeignKeyConstraint(
            ["owner_id", "session_id"],
            ["sessions.owner_id", "sessions.session_id"],
            name="api_keys_session_id_fkey",
            ondelete="CASCADE",
        ),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name"),
        CheckConstraint("octet_length(prefix) BETWEEN 1 AND 512", name="prefix"),
        CheckConstraint("cardinality(scopes) > 0 AND scopes <@ '{read,write,admin}'", name="scopes"),
        CheckConstraint(
            "num_nonnulls(prefix, session_id) = 0"
            " OR (num_nonnulls(prefix, session_id) = 1 AND NOT scopes @> '{admin}')",
            name="part",
        ),
        Index(None, "owner_id", "id"),
        Index(None, "owner_id", "session_id"),
        Index(None, "made_by"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[KeyScope]] = mapped_column(ARRAY(Text))
    prefix: Mapped[str | None] = mapped_column(Bytewise)
    session_id: Mapped[str | None] = mapped_column(Text)
    secret_hash: Mapped[str] = mapped_column(Text)
    made_by: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id", ondelete="SET NULL"))
    expires_at: Mapped[datetime | None] = mapped_column(Moment)
    revoked_at: Mapped[datetime | None] = mapped_column(Moment)
    last_used_on: Mapped[date | None]
    created_at: Mapped[datetime] = mapped_column(Moment)


class OwnerRule(Base):
    """Whom new objects belong to that are put straight into a bucket below a prefix. Of several rules the longest prefix wins."""

    __tablename__ = "owner_rules"
    __table_args__ = (UniqueConstraint("bucket", "prefix"), Index(None, "user_id"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    bucket: Mapped[str] = mapped_column(Bytewise)
    prefix: Mapped[str] = mapped_column(Bytewise)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(Moment)


class Session(Base):
    """A group of uploads, under an id that its owner chose. Two owners may choose the same id."""

    __tablename__ = "sessions"
    __table_args__ = (
        UniqueConstraint("owner_id", "session_id"),
        CheckConstraint("length(session_id) BETWEEN 1 AND 128", name="session_id"),
        CheckConstraint("jsonb_typeof(metadata) = 'object'", name="metadata"),
        CheckConstraint("jsonb_typeof(limits) = 'object'", name="limits"),
        Index(None, "owner_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    session_id: Mapped[str] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default=text("'{}'"))
    limits: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(Moment)
    updated_at: Mapped[datetime] = mapped_column(Moment)


class SessionMember(Base):
    """Somebody with whom a session's owner shares it. ``email`` is the address that was named, if no user was.

    ``user_id`` is null as long as no user has that address. With ``ended_at``, it counts no more, because the same user was named
    or removed otherwise since: see `chalicelib.db.session_members`.
    """

    __tablename__ = "session_members"
    __table_args__ = (
        one_of("role", SessionRole),
        CheckConstraint("user_id IS NOT NULL OR email IS NOT NULL", name="somebody"),
        Index(
            "session_members_user_key", "session_row_id", "user_id", unique=True, postgresql_where=text("email IS NULL")
        ),
        Index(
            "session_members_email_key",
            "session_row_id",
            "email",
            unique=True,
            postgresql_where=text("email IS NOT NULL"),
        ),
        Index(None, "session_row_id", "id"),
        Index(None, "user_id", "session_row_id"),
        Index(None, "email", postgresql_where=text("email IS NOT NULL")),
        Index("session_members_unclaimed_idx", "email", postgresql_where=text("user_id IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_row_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    email: Mapped[str | None] = mapped_column(Text)
    role: Mapped[SessionRole] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)
    updated_at: Mapped[datetime] = mapped_column(Moment)
    ended_at: Mapped[datetime | None] = mapped_column(Moment)


class Usage(Base):
    """How many files and bytes an owner has, all in all (``session_id`` ``""``) and in each session.

    Triggers on ``files`` keep it, in the transaction of each change. A pending file counts with its reservation. What
    `UsageChange` has of an owner comes on top of it: the view ``usage_now`` is the sum.
    """

    __tablename__ = "usage"

    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    session_id: Mapped[str] = mapped_column(Text, primary_key=True)
    files: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)


class UsageChange(Base):
    """What recording has changed of an owner's usage, until the clock adds it up.

    If each batch of events updated the owner's row of `Usage`, batches with files of one owner would wait for each other.
    """

    __tablename__ = "usage_changes"
    __table_args__ = (Index(None, "owner_id", "session_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    session_id: Mapped[str] = mapped_column(Text)
    files: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
