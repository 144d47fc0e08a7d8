"""S3 Inventories as AWS writes them, made of what an emulator's bucket holds.

The layout of manifest, CSV and Parquet is that of the Amazon S3 User Guide ("Locating your inventory list").
"""

import csv
import gzip
import io
import json
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Any
from urllib.parse import quote
from uuid import UUID

from chalicelib.catalog.audits import Audit, AuditRequest
from chalicelib.services.context import Context
from chalicelib.services.truth import auditing
from chalicelib.services.truth.loading import read_inventory
from dev.configuration import PROJECT
from dev.parquet import ensure_parquet, parquet_reader

_LOGS = PROJECT / ".landfall" / "logs"

Row = dict[str, Any]
Write = Callable[[Sequence[Row], Sequence[str]], bytes]

FIELDS = (
    "Bucket",
    "Key",
    "VersionId",
    "IsLatest",
    "IsDeleteMarker",
    "Size",
    "LastModifiedDate",
    "ETag",
    "StorageClass",
)
_COLUMNS = {
    "Bucket": ("bucket", "required binary bucket (UTF8)"),
    "Key": ("key", "required binary key (UTF8)"),
    "VersionId": ("version_id", "optional binary version_id (UTF8)"),
    "IsLatest": ("is_latest", "optional boolean is_latest"),
    "IsDeleteMarker": ("is_delete_marker", "optional boolean is_delete_marker"),
    "Size": ("size", "optional int64 size"),
    "LastModifiedDate": ("last_modified_date", "optional int64 last_modified_date (TIMESTAMP_MILLIS)"),
    "ETag": ("e_tag", "optional binary e_tag (UTF8)"),
    "StorageClass": ("storage_class", "optional binary storage_class (UTF8)"),
}  # fmt: skip
_WRITE_PARQUET = """
import json, sys
from datetime import datetime
import pyarrow, pyarrow.parquet
text, stamp, whole, boolean = pyarrow.string(), pyarrow.timestamp("ms"), pyarrow.int64(), pyarrow.bool_()
types = {"is_latest": boolean, "is_delete_marker": boolean, "size": whole, "last_modified_date": stamp}
columns = json.load(sys.stdin)
if "last_modified_date" in columns:
    columns["last_modified_date"] = [datetime.fromisoformat(one) for one in columns["last_modified_date"]]
table = pyarrow.table({name: pyarrow.array(values, types.get(name, text)) for name, values in columns.items()})
pyarrow.parquet.write_table(table, sys.stdout.buffer, compression="snappy", row_group_size=7)
"""


def rows_of(s3: Any, bucket: str) -> list[Row]:
    """What an inventory of this bucket would list now. Times are whole seconds, as AWS gives them."""
    rows: list[Row] = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            is_marker = "ETag" not in version
            rows.append({
                "Bucket": bucket,
                "Key": version["Key"],
                "VersionId": version["VersionId"],
                "IsLatest": version["IsLatest"],
                "IsDeleteMarker": is_marker,
                "Size": None if is_marker else version["Size"],
                "LastModifiedDate": version["LastModified"].astimezone(UTC).replace(microsecond=0),
                "ETag": None if is_marker else version["ETag"].strip('"'),
                "StorageClass": None if is_marker else "STANDARD",
            })  # fmt: skip
    return rows


def as_csv(rows: Sequence[Row], fields: Sequence[str] = FIELDS) -> bytes:
    """All fields in quotes, no header, keys URL-encoded, compressed with gzip."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([_in_csv(name, row[name]) for name in fields] for row in rows)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def _in_csv(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S.000Z}"
    return quote(value, safe="/") if name == "Key" else "" if value is None else str(value)


def as_parquet(rows: Sequence[Row], fields: Sequence[str] = FIELDS) -> bytes:
    """Keys as they are, compressed with Snappy, in small groups of rows."""
    columns = {
        _COLUMNS[name][0]: [
            f"{row[name]:%Y-%m-%dT%H:%M:%S}" if isinstance(row[name], datetime) else row[name] for row in rows
        ]
        for name in fields
    }
    python = ensure_parquet(_LOGS)
    command = [str(python), "-c", _WRITE_PARQUET]
    return subprocess.run(command, input=json.dumps(columns).encode(), stdout=subprocess.PIPE, check=True).stdout


def begin(ctx: Context, bucket: str, manifest: tuple[str, str], **wish: Any) -> UUID:
    """Begin a repair from an inventory, without brake and grace."""
    inventory = read_inventory(ctx, *manifest, bucket)
    wish = {"repairs": True, "brake": 1, "grace": timedelta(), "inventory": inventory, **wish}
    with ctx.transaction() as tx:
        return auditing.begin_audit(tx, AuditRequest(bucket, **wish))


def work_on(ctx: Context, audit_id: UUID) -> Audit:
    """Work on an audit to its end."""
    assert auditing.work_on_audit(ctx, audit_id, read_parquet=parquet_reader(_LOGS))
    with ctx.transaction() as tx:
        return auditing.get_audit(tx, audit_id)


def run(ctx: Context, bucket: str, manifest: tuple[str, str], **wish: Any) -> Audit:
    """Both."""
    return work_on(ctx, begin(ctx, bucket, manifest, **wish))


class InventoryMaker:
    """Puts inventories of a bucket into another one: ``target``, or the same name with ``-lists`` behind it."""

    def __init__(self, s3: Any, source: str, form: str = "CSV", target: str = "") -> None:
        self.s3, self.source, self.target, self.form = s3, source, target or f"{source}-lists", form
        self.rows = rows_of(s3, source)
        self.fields: Sequence[str] = FIELDS

    def put(self, *, parts: int = 3, at: datetime | None = None, **manifest: Any) -> tuple[str, str]:
        """Write the inventory in so many files, in no order of keys; returns where its manifest is."""
        write: Write = as_parquet if self.form == "Parquet" else as_csv
        written = [write(self.rows[number::parts], self.fields) for number in range(parts)]
        return self.put_files(written, at=at, **manifest)

    def put_files(self, parts: Sequence[bytes], *, at: datetime | None = None, **manifest: Any) -> tuple[str, str]:
        """The same of files that are written already."""
        made_at = at or datetime.now(UTC)
        folder = f"inventories/{self.source}/all"
        entries = []
        for number, part in enumerate(parts):
            key = f"{folder}/data/{number}.{'parquet' if self.form == 'Parquet' else 'csv.gz'}"
            self.s3.put_object(Bucket=self.target, Key=key, Body=part)
            entries.append({"key": key, "size": len(part), "MD5checksum": md5(part).hexdigest()})
        text = {
            "sourceBucket": self.source,
            "destinationBucket": f"arn:aws:s3:::{self.target}",
            "version": "2016-11-30",
            "creationTimestamp": str(int(made_at.timestamp() * 1000)),
            "fileFormat": self.form,
            "fileSchema": self._schema(),
            "files": entries,
            **manifest,
        }
        key = f"{folder}/{made_at:%Y-%m-%dT%H-%MZ}/manifest.json"
        self.s3.put_object(Bucket=self.target, Key=key, Body=json.dumps(text).encode())
        return self.target, key

    def _schema(self) -> str:
        if self.form == "Parquet":
            return f"message s3.inventory {{ {' '.join(f'{_COLUMNS[name][1]};' for name in self.fields)} }}"
        return ", ".join(self.fields)
