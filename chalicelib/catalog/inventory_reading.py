"""Reading S3 Inventories: the manifest of one, and the versions that its files list. Pure.

The format is described in the Amazon S3 User Guide under "Amazon S3 Inventory list" and "Locating your inventory list".
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from chalicelib.catalog.inventories import Inventory, InventoryFile, InventoryFormat, InventoryVersion
from chalicelib.catalog.keys import decode_key
from chalicelib.errors import InvalidInventory, MalformedNotification

# The fields that an audit reads, in their order in `InventoryVersion`. `Bucket` is only checked.
_FIELDS = ("Key", "VersionId", "IsLatest", "IsDeleteMarker", "Size", "LastModifiedDate", "ETag")
_NEEDED = ("Bucket", *_FIELDS)
# The columns of a file of Parquet, and the fields that they are.
IN_PARQUET = {
    "bucket": "Bucket",
    "key": "Key",
    "version_id": "VersionId",
    "is_latest": "IsLatest",
    "is_delete_marker": "IsDeleteMarker",
    "size": "Size",
    "last_modified_date": "LastModifiedDate",
    "e_tag": "ETag",
}
_FIELD_OF_PARQUET = re.compile(r"\b(?:required|optional)\s+\w+\s+(\w+)")
_MD5 = re.compile(r"[0-9a-f]{32}")
_BOOLEANS = {"true": True, "false": False, "True": True, "False": False}


def parse_manifest(bucket: str, key: str, text: bytes) -> Inventory:
    """The inventory that the manifest at this place describes.

    Raises:
        InvalidInventory: it is no manifest, or one of an inventory that can't be compared with.
    """
    name = f"s3://{bucket}/{key}"
    try:
        manifest = json.loads(text)
        source = _text(manifest["sourceBucket"])
        made_at = datetime.fromtimestamp(max(0, int(manifest["creationTimestamp"])) / 1000, UTC)
        written_as, schema = _text(manifest["fileFormat"]), _text(manifest["fileSchema"])
        files = tuple(_file(entry) for entry in manifest["files"])
    except (ValueError, TypeError, KeyError, OverflowError, OSError) as error:
        raise InvalidInventory(f"{name} is no manifest of an S3 Inventory: `manifest.json` is wanted.") from error
    if written_as == "CSV":
        kind: InventoryFormat = "csv"
        fields = tuple(field.strip() for field in schema.split(","))
    elif written_as == "Parquet":
        kind = "parquet"
        fields = tuple(IN_PARQUET.get(field, field) for field in _FIELD_OF_PARQUET.findall(schema))
    else:
        raise InvalidInventory(f"The inventory {name} is written as {written_as}. CSV and Parquet can be read.")
    if missing := [field for field in _NEEDED if field not in fields]:
        raise InvalidInventory(
            f"The inventory {name} lacks the fields {', '.join(missing)}. It must list all versions, with size, "
            "last modified date and ETag."
        )
    return Inventory(bucket, key, source, made_at, kind, fields, files)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _file(entry: Any) -> InventoryFile:
    md5 = _text(entry["MD5checksum"]).lower()
    if not _MD5.fullmatch(md5):
        raise ValueError("no MD5")
    return InventoryFile(_text(entry["key"]), int(entry["size"]), md5)


def listed_in_csv(
    lines: Iterable[str], source: str, fields: Sequence[str], *, are_keys_encoded: bool = True
) -> Iterator[InventoryVersion]:
    """The versions that the lines of a CSV file list.

    A key with a NUL is left out: no catalogue can hold it.

    Raises:
        InvalidInventory: the lines don't fit the fields, or list another bucket.
    """
    needed = itemgetter(*(fields.index(field) for field in _NEEDED))
    rows = csv.reader(lines, strict=True)
    try:
        for row in rows:
            bucket, raw, version_id, latest, marker, size, modified, etag = needed(row)
            if bucket != source:
                raise InvalidInventory(f"The inventory lists the bucket {bucket!r}, and not {source!r}.")
            key = decode_key(raw) if are_keys_encoded else raw
            is_marker = _BOOLEANS[marker]
            if "\x00" not in key:
                yield InventoryVersion(
                    key,
                    "" if version_id == "null" else version_id,
                    _BOOLEANS[latest],
                    is_marker,
                    "0" if is_marker else size,
                    modified,
                    "" if is_marker else etag.strip('"'),
                )
    except (csv.Error, IndexError, KeyError, MalformedNotification, UnicodeDecodeError) as error:
        raise InvalidInventory(f"Line {rows.line_num} of a file of the inventory doesn't fit its schema.") from error
