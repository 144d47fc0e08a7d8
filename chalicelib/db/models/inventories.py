"""S3 Inventories that audits compare with."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, ForeignKey, Identity, Index, Integer, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from chalicelib.catalog.inventories import InventoryFormat
from chalicelib.db.models.base import Base, Bytewise, Moment, one_of

_NO = text("false")


class AuditInventory(Base):
    """The inventory of an audit. ``is_removed``: the audit has ended, and the versions that were loaded are removed."""

    __tablename__ = "audit_inventories"
    __table_args__ = (
        one_of("format", InventoryFormat),
        Index("audit_inventories_kept_idx", "id", postgresql_where=text("NOT is_removed")),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    audit_id: Mapped[UUID] = mapped_column(ForeignKey("audits.id", ondelete="CASCADE"), unique=True)
    bucket: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    made_at: Mapped[datetime] = mapped_column(Moment)
    format: Mapped[InventoryFormat] = mapped_column(Text)
    fields: Mapped[list[str]] = mapped_column(ARRAY(Text))
    is_removed: Mapped[bool] = mapped_column(server_default=_NO)


class AuditInventoryFile(Base):
    """A file of an inventory, which one worker at a time loads. ``loaded``: how many of its versions are."""

    __tablename__ = "audit_inventory_files"

    inventory_id: Mapped[int] = mapped_column(
        ForeignKey("audit_inventories.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    md5: Mapped[str] = mapped_column(Text)
    loaded: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    is_done: Mapped[bool] = mapped_column(server_default=_NO)
    worker: Mapped[UUID | None]
    leased_until: Mapped[datetime | None] = mapped_column(Moment)


class InventoryVersion(Base):
    """A version that an inventory lists. The table isn't logged, so that it is empty after a crash of the server.

    There is one row with an empty key for each inventory: if it is there, nothing was lost. The same version may be there twice.
    """

    __tablename__ = "inventory_versions"
    __table_args__ = (Index(None, "inventory_id", "key"), {"prefixes": ["UNLOGGED"]})
    # For SQLAlchemy alone, which knows no table without a key; the table has none.
    __mapper_args__ = {"primary_key": ["inventory_id", "key", "version_id"]}  # noqa: RUF012

    inventory_id: Mapped[int]
    key: Mapped[str] = mapped_column(Bytewise)
    version_id: Mapped[str] = mapped_column(Bytewise)
    is_latest: Mapped[bool]
    is_marker: Mapped[bool]
    size: Mapped[int] = mapped_column(BigInteger)
    modified: Mapped[datetime] = mapped_column(Moment)
    etag: Mapped[str] = mapped_column(Text)
