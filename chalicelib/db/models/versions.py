"""What the merge keeps: versions and events."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    Identity,
    Index,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chalicelib.catalog.changes import ChangeName
from chalicelib.db.models.base import Base, Bytewise, Moment, one_of


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
        # Every put asks whether its key was purged, which only MinIO tells of.
        Index("object_versions_purges_idx", "bucket", "key", postgresql_where=text("version_id = '*'")),
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
    meet its first copy in the same partition. ``recorded_xid`` will let a reader of the feed stop before transactions
    that are still running.
    """

    __tablename__ = "file_events"
    __table_args__ = (
        one_of("change", ChangeName),
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
