"""Files, and what waits, leads to them or finds them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from chalicelib.catalog.files import FileState, UploadMethod
from chalicelib.db.models.base import Base, Bytewise, Moment, one_of
from chalicelib.db.own_words import HAS_OWN_WORDS, OWN_WORDS


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
        one_of("state", FileState),
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
        # An owner's keys and folders: see `chalicelib.db.file_filters` and `chalicelib.db.folders`.
        Index(
            "files_own_keys_idx",
            "owner_id",
            "key",
            "bucket",
            postgresql_include=["state", "size"],
            postgresql_where=text("owner_id IS NOT NULL"),
        ),
        Index(
            "files_own_names_idx",
            "owner_id",
            "name",
            "id",
            postgresql_where=text("owner_id IS NOT NULL AND state <> 'deleted'"),
        ),
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
        # What members ask: see `chalicelib.db.file_filters`.
        Index(
            "files_own_tags_idx",
            text("own_tags(owner_id, session_id, tags)"),
            postgresql_using="gin",
            postgresql_where=text("owner_id IS NOT NULL AND tags <> '{}'"),
        ),
        Index(
            "files_own_metadata_idx",
            literal_column("own_metadata(owner_id, session_id, metadata)").label("own_metadata"),
            postgresql_using="gin",
            postgresql_ops={"own_metadata": "jsonb_path_ops"},
            postgresql_where=text("owner_id IS NOT NULL AND metadata <> '{}'"),
        ),
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
    # Before when the clock doesn't try again what has failed: to delete the file, or to purge it. Anybody else may.
    retry_after: Mapped[datetime | None] = mapped_column(Moment)
    # Only on the tombstone that a moved file leaves behind: the id of that file, which may be gone.
    moved_to: Mapped[UUID | None]
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
        one_of("method", UploadMethod),
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


class FileLocation(Base):
    """A location that a moved file had until ``moved_at``, and the version that it left. Later ones belong to other files.

    The file may be gone: see `chalicelib.db.retiring`. Then nobody else gets what was its own.
    """

    __tablename__ = "file_places"
    __table_args__ = (Index(None, "key", "bucket"),)

    file_id: Mapped[UUID] = mapped_column(primary_key=True)
    moved_at: Mapped[datetime] = mapped_column(Moment, primary_key=True)
    bucket: Mapped[str] = mapped_column(Bytewise)
    key: Mapped[str] = mapped_column(Bytewise)
    version_id: Mapped[str | None] = mapped_column(Bytewise)
    etag: Mapped[str | None] = mapped_column(Text)
    stored_at: Mapped[datetime | None] = mapped_column(Moment)


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
        # What members search: see `chalicelib.db.own_words`. Files that are nobody's aren't in it.
        Index(
            "file_search_own_words_idx",
            text(OWN_WORDS),
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": 64},
            postgresql_where=text(HAS_OWN_WORDS),
        ),
    )

    file_id: Mapped[UUID] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True)
    words: Mapped[str] = mapped_column(Text)
    document: Mapped[str] = mapped_column(TSVECTOR)
    # Whose the file is, and in which session. Empty: nobody's, in none, or not indexed since revision 0026. A trigger puts
    # them in place of a question mark, for code that doesn't name them.
    owner_tag: Mapped[str] = mapped_column(Text, server_default="?")
    session_tag: Mapped[str] = mapped_column(Text, server_default="")


class SearchQueue(Base):
    """Files whose words are to be indexed. Triggers on ``files`` fill it."""

    __tablename__ = "search_queue"
    __table_args__ = (Index("search_queue_untagged_idx", "file_id", postgresql_where=text("is_untagged")),)

    file_id: Mapped[UUID] = mapped_column(primary_key=True)
    # Indexed before revision 0026, and not since.
    is_untagged: Mapped[bool] = mapped_column(server_default=text("false"))
