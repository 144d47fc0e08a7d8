"""S3 Inventories, as types that cost nothing to import. `chalicelib.catalog.inventory_reading` reads them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

InventoryFormat = Literal["csv", "parquet"]

# AWS says that an inventory may leave out what was added or deleted recently, and gives no bound. An inventory is made once a day
# at most, so that a day is what one may miss and the next one shows.
MARGIN = timedelta(days=1)


class InventoryFile(NamedTuple):
    """A file of an inventory, in the bucket of its manifest. ``md5`` is in hexadecimal."""

    key: str
    size: int
    md5: str


class InventoryVersion(NamedTuple):
    """A version as an inventory lists it, with sizes and times as it writes them. A delete marker has the size 0."""

    key: str
    version_id: str
    is_latest: bool
    is_marker: bool
    size: str
    modified: str
    etag: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """An inventory, as its manifest describes it.

    Attributes:
        bucket, key: where the manifest is.
        source: the bucket that is listed.
        made_at: when S3 began to make it.
        fields: the names of its columns, in their order.
    """

    bucket: str
    key: str
    source: str
    made_at: datetime
    format: InventoryFormat
    fields: tuple[str, ...]
    files: tuple[InventoryFile, ...]

    @property
    def url(self) -> str:
        """Where the manifest is, as people write it."""
        return f"s3://{self.bucket}/{self.key}"
