"""The tables. What each column means is in ``docs/data-dictionary.md``; why the heavy ones look so, in the ADRs."""

from datetime import datetime
from typing import Any, get_args
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chalicelib.catalog.changes import ChangeName
from chalicelib.catalog.commands import JobKind, JobState
from chalicelib.catalog.files import FileState, UploadMethod
from chalicelib.catalog.roles import Role

# S3 compares keys byte by byte, and so do ranks; the database's own collation would not, and would be slower.
Bytewise = Text(collation="C")
Moment = DateTime(timezone=True)


def _one_of(column: str, literal: Any) -> CheckConstraint:
    """That a column holds one of the texts of a ``Literal``."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(name) for name in get_args(literal))})", name=column)


class Base(DeclarativeBase):
    """Names every constraint the same way, so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )


class User(Base):
    """Somebody who owns files. An operator sees everyone's."""

    __tablename__ = "users"
    __table_args__ = (
        _one_of("role", Role),
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


class File(Base):
    """One row for each (bucket, key) that ever held an object or an upload, with its current version's columns.

    ``id`` is a UUIDv7 made at ``created_at``: ordering by id is ordering by creation, with no index of its own.
    """

    __tablename__ = "files"
    __table_args__ = (
        # Key first: most installations have one bucket, and lookups by key or prefix alone need no other index.
        UniqueConstraint("key", "bucket"),
        ForeignKeyConstraint(
            ["owner_id", "session_id"],
            ["sessions.owner_id", "sessions.session_id"],
            name="files_session_id_fkey",
            ondelete="SET NULL (session_id)",
        ),
        _one_of("state", FileState),
        CheckConstraint("(state = 'stored') = (version_id IS NOT NULL)", name="stored_has_version"),
        CheckConstraint("size >= 0", name="size"),
        CheckConstraint("state = 'stored' OR size IS NULL", name="only_stored_has_size"),
        CheckConstraint("session_id IS NULL OR owner_id IS NOT NULL", name="session_has_owner"),
        CheckConstraint("jsonb_typeof(metadata) = 'object'", name="metadata"),
        CheckConstraint("octet_length(key) BETWEEN 1 AND 1024", name="key"),
        CheckConstraint("reserved >= 0", name="reserved"),
        CheckConstraint("restoring >= 0", name="restoring"),
        CheckConstraint("array_position(tags, NULL) IS NULL", name="tags"),
        # Sorts. Creation needs none: see the class. A page within one bucket or owner walks the same ones.
        Index(None, "updated_at", "id"),
        Index(None, "name", "id"),
        Index(None, "size", "id"),
        # Filters; each ends in the id, so that the default sort comes out of it. Where most rows share a value, only
        # the rare values are indexed: more would cost every insert, and the planner would not use it anyway.
        Index(None, "bucket", "id"),
        Index(None, "owner_id", "id", postgresql_where=text("owner_id IS NOT NULL")),
        Index("files_session_idx", "owner_id", "session_id", "id", postgresql_where=text("session_id IS NOT NULL")),
        Index(None, "media_type", "id", postgresql_where=text("media_type IS NOT NULL")),
        Index(None, "owner_id", "sha256", postgresql_where=text("sha256 IS NOT NULL")),
        Index("files_state_idx", "state", "id", postgresql_where=text("state <> 'stored'")),
        # What waits for its time.
        Index(
            "files_trash_idx",
            "updated_at",
            "id",
            postgresql_where=text(
                "state = 'deleted' AND moved_to IS NULL AND (purged_at IS NULL OR purged_at < updated_at)"
            ),
        ),
        Index(None, "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
        Index("files_restoring_idx", "id", postgresql_where=text("restoring IS NOT NULL")),
        Index(None, "moved_to", postgresql_where=text("moved_to IS NOT NULL")),
        Index("files_tags_idx", "tags", postgresql_using="gin"),
        Index("files_metadata_idx", "metadata", postgresql_using="gin", postgresql_ops={"metadata": "jsonb_path_ops"}),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    bucket: Mapped[str] = mapped_column(Bytewise)
    key: Mapped[str] = mapped_column(Bytewise)
    name: Mapped[str] = mapped_column(Bytewise)
    state: Mapped[FileState] = mapped_column(Text)
    owner_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    session_id: Mapped[str | None] = mapped_column(Text)
    version_id: Mapped[str | None] = mapped_column(Bytewise)
    rank: Mapped[str] = mapped_column(Bytewise, server_default="")
    size: Mapped[int | None] = mapped_column(BigInteger)
    etag: Mapped[str | None] = mapped_column(Text)
    media_type: Mapped[str | None] = mapped_column(Bytewise)
    stored_at: Mapped[datetime | None] = mapped_column(Moment)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default=text("'{}'"))
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    # Bytes that a pending upload may still bring.
    reserved: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    # Bytes that a restore is about to add; null: no restore is under way.
    restoring: Mapped[int | None] = mapped_column(BigInteger)
    # In base64, as S3 writes it; only where S3 itself has verified it.
    sha256: Mapped[str | None] = mapped_column(Bytewise)
    detected_media_type: Mapped[str | None] = mapped_column(Bytewise)
    is_mismatch: Mapped[bool] = mapped_column(server_default=text("false"))
    # When the versions of a deleted file were permanently removed.
    purged_at: Mapped[datetime | None] = mapped_column(Moment)
    # When Landfall is to delete the file.
    expires_at: Mapped[datetime | None] = mapped_column(Moment)
    # Until when the file is claimed: to restore it or to purge it, never both.
    busy_until: Mapped[datetime | None] = mapped_column(Moment)
    # Only on the tombstone that a moved file leaves behind: the id of that file.
    moved_to: Mapped[UUID | None] = mapped_column(ForeignKey("files.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(Moment)
    updated_at: Mapped[datetime] = mapped_column(Moment)


class Upload(Base):
    """How a pending file's bytes are to come: what was announced, and what S3 needs to know.

    An upload is open until ``closed_at``, when the object was seen or the upload was given up. ``problem`` is the last
    thing that went wrong. A closed upload stays until it expires, for clients that ask again because an answer was
    lost. ``judged_rank`` is the rank of the version that policies were applied to; a version of another rank is judged
    again.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        _one_of("method", UploadMethod),
        CheckConstraint("size >= 0", name="size"),
        Index(None, "expires_at"),
        Index(None, "owner_id", "client_key"),
    )

    file_id: Mapped[UUID] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True)
    owner_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    # The key that a client proposed, which is not the file's. A client that asks again with it goes on with the same
    # upload.
    client_key: Mapped[str | None] = mapped_column(Text)
    method: Mapped[UploadMethod] = mapped_column(Text)
    # S3's own id of a multipart upload.
    multipart_id: Mapped[str | None] = mapped_column(Text)
    size: Mapped[int | None] = mapped_column(BigInteger)
    media_type: Mapped[str | None] = mapped_column(Text)
    sha256: Mapped[str | None] = mapped_column(Text)
    part_size: Mapped[int | None] = mapped_column(BigInteger)
    # Number, ETag and size of each part that the object was made of.
    parts: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    expires_at: Mapped[datetime] = mapped_column(Moment)
    problem: Mapped[str | None] = mapped_column(Text)
    closed_at: Mapped[datetime | None] = mapped_column(Moment)
    judged_rank: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)


class Usage(Base):
    """How many files and bytes an owner has, all in all (``session_id`` ``""``) and in each session.

    Triggers on ``files`` keep it, in the transaction of each change. A pending file counts with its reservation.
    """

    __tablename__ = "usage"

    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    session_id: Mapped[str] = mapped_column(Text, primary_key=True)
    files: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)


class ObjectVersion(Base):
    """The put of highest rank and the removal of highest rank of one (bucket, key, version id).

    ``version_id`` is ``""`` for unversioned objects, and ``"*"`` for a purge of the whole key (MinIO), whose
    ``removal_rank`` counts for every version. An empty rank means: none seen.
    """

    __tablename__ = "object_versions"
    __table_args__ = (
        CheckConstraint("size >= 0", name="size"),
        # The current version of a key is the first of this index read backwards.
        Index("object_versions_current_idx", "bucket", "key", "put_rank", "version_id", postgresql_where=text("alive")),
        Index("object_versions_follows_idx", "bucket", "key", "follows", postgresql_where=text("follows IS NOT NULL")),
        Index("object_versions_inspection_idx", "inspect_after", postgresql_where=text("inspect_after IS NOT NULL")),
        Index(
            "object_versions_uninspected_idx",
            "bucket",
            "key",
            postgresql_where=text("inspect_problem IS NOT NULL AND inspect_after IS NULL"),
        ),
    )

    bucket: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    key: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    version_id: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    put_rank: Mapped[str] = mapped_column(Bytewise, server_default="")
    removal_rank: Mapped[str] = mapped_column(Bytewise, server_default="")
    alive: Mapped[bool] = mapped_column(Computed("put_rank > removal_rank", persisted=True))
    held_object: Mapped[bool] = mapped_column(server_default=text("false"))
    is_delete_marker: Mapped[bool] = mapped_column(server_default=text("false"))
    follows: Mapped[str | None] = mapped_column(Bytewise)
    size: Mapped[int | None] = mapped_column(BigInteger)
    etag: Mapped[str | None] = mapped_column(Text)
    stored_at: Mapped[datetime | None] = mapped_column(Moment)
    media_type: Mapped[str | None] = mapped_column(Text)
    # What inspection found: see `chalicelib.store.inspection.inspect_object` for the shape.
    inspection: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    inspect_after: Mapped[datetime | None] = mapped_column(Moment)
    inspect_tries: Mapped[int] = mapped_column(server_default=text("0"))
    # Why the last try failed. Without `inspect_after` there won't be another one: see
    # chalicelib/db/inspection_queue.py.
    inspect_problem: Mapped[str | None] = mapped_column(Text)


class FileEvent(Base):
    """Every distinct change once, append-only, partitioned by the month of the event.

    The partition key is the event's own time, not the time of recording: a change delivered twice, a month apart, must
    meet its first copy in the same partition. ``recorded_xid`` lets a reader of the feed stop before transactions that
    are still running.
    """

    __tablename__ = "file_events"
    __table_args__ = (
        Index("file_events_feed_idx", "recorded_xid", "id"),
        _one_of("change", ChangeName),
        {"postgresql_partition_by": "RANGE (event_time)"},
    )

    bucket: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    key: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    rank: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    version_id: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    event_time: Mapped[datetime] = mapped_column(Moment, primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    recorded_xid: Mapped[int] = mapped_column(BigInteger, server_default=text("pg_current_xact_id()::text::bigint"))
    change: Mapped[ChangeName] = mapped_column(Text)
    event_name: Mapped[str] = mapped_column(Text)
    sequencer: Mapped[str] = mapped_column(Text)
    size: Mapped[int | None] = mapped_column(BigInteger)
    etag: Mapped[str | None] = mapped_column(Text)
    recorded_at: Mapped[datetime] = mapped_column(Moment)


class FileLocation(Base):
    """A location that a moved file had until ``moved_at``, and the version that it left. Later ones belong to other files."""

    __tablename__ = "file_places"

    file_id: Mapped[UUID] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True)
    moved_at: Mapped[datetime] = mapped_column(Moment, primary_key=True)
    bucket: Mapped[str] = mapped_column(Bytewise)
    key: Mapped[str] = mapped_column(Bytewise)
    version_id: Mapped[str | None] = mapped_column(Bytewise)
    etag: Mapped[str | None] = mapped_column(Text)
    stored_at: Mapped[datetime | None] = mapped_column(Moment)


class Job(Base):
    """Work that may take longer than a request. The table is its own queue: see `chalicelib.db.jobs`."""

    __tablename__ = "jobs"
    __table_args__ = (
        _one_of("kind", JobKind),
        _one_of("state", JobState),
        Index(None, "owner_id", "id"),
        Index(None, "run_after", postgresql_where=text("state IN ('queued', 'running')")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
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


class Share(Base):
    """A link to a file for people without an account. Only the hash of its token is kept."""

    __tablename__ = "shares"
    __table_args__ = (
        CheckConstraint("max_uses > 0", name="max_uses"),
        UniqueConstraint("token_hash"),
        Index(None, "file_id", "id"),
        Index(None, "created_by", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    file_id: Mapped[UUID] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"))
    created_by: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(Text)
    max_uses: Mapped[int | None]
    uses: Mapped[int] = mapped_column(server_default=text("0"))
    expires_at: Mapped[datetime] = mapped_column(Moment)
    revoked_at: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment)


class FileSearch(Base):
    """The words of a file: see `chalicelib.db.search`. They are a moment behind the file itself."""

    __tablename__ = "file_search"
    __table_args__ = (
        Index("file_search_words_idx", "words", postgresql_using="gin", postgresql_ops={"words": "gin_trgm_ops"}),
        Index("file_search_document_idx", "document", postgresql_using="gin"),
    )

    file_id: Mapped[UUID] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True)
    words: Mapped[str] = mapped_column(Text)
    document: Mapped[str] = mapped_column(TSVECTOR)


class SearchQueue(Base):
    """Files whose words are to be indexed. Triggers on ``files`` fill it."""

    __tablename__ = "search_queue"

    file_id: Mapped[UUID] = mapped_column(primary_key=True)
