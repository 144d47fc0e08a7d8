"""The manifests of the Amazon S3 User Guide, and lines of CSV."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.catalog.inventories import InventoryFile, InventoryVersion
from chalicelib.catalog.inventory_reading import listed_in_csv, parse_manifest
from chalicelib.errors import InvalidInventory

CSV: dict[str, Any] = {
    "sourceBucket": "example-source-bucket",
    "destinationBucket": "arn:aws:s3:::example-inventory-destination-bucket",
    "version": "2016-11-30",
    "creationTimestamp": "1514944800000",
    "fileFormat": "CSV",
    "fileSchema": "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass, "
    "IsMultipartUploaded, ReplicationStatus, EncryptionStatus, BucketKeyStatus, ChecksumAlgorithm",
    "files": [
        {"key": "Inventory/data/1.csv.gz", "size": 2147483647, "MD5checksum": "f11166069f1990abeb9c97ace9cdfabc"}
    ],
}
PARQUET = CSV | {
    "fileFormat": "Parquet",
    "fileSchema": "message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); optional binary "
    "version_id (UTF8); optional boolean is_latest; optional boolean is_delete_marker; optional int64 size; optional int64 "
    "last_modified_date (TIMESTAMP_MILLIS); optional binary e_tag (UTF8); optional binary storage_class (UTF8); optional "
    "boolean is_multipart_uploaded; }",
}
FIELDS = ("Bucket", "Key", "VersionId", "IsLatest", "IsDeleteMarker", "Size", "LastModifiedDate", "ETag")


@pytest.mark.parametrize(("manifest", "form"), [(CSV, "csv"), (PARQUET, "parquet")])
def test_the_guides_own_manifests_are_read(manifest: dict[str, Any], form: str) -> None:
    found = parse_manifest("lists", "a/manifest.json", json.dumps(manifest).encode())
    assert (found.url, found.source, found.format) == ("s3://lists/a/manifest.json", "example-source-bucket", form)
    assert found.made_at == datetime(2018, 1, 3, 2, tzinfo=UTC)
    assert found.fields[:8] == FIELDS
    assert found.files == (InventoryFile("Inventory/data/1.csv.gz", 2147483647, "f11166069f1990abeb9c97ace9cdfabc"),)


def test_an_inventory_of_current_versions_lacks_what_tells_versions_apart() -> None:
    manifest = CSV | {"fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag"}
    with pytest.raises(
        InvalidInventory, match=r"lacks the fields VersionId, IsLatest, IsDeleteMarker\. It must list all"
    ):
        parse_manifest("lists", "manifest.json", json.dumps(manifest).encode())


@pytest.mark.parametrize(
    ("line", "listed"),
    [
        ('"b","a%2Fb+c%2B%25%22","v1","true","false","7","T","e"', ("a/b c+%\"", "v1", True, False, "7", "T", "e")),
        ('"b","k","null","false","false","0","T","e"', ("k", "", False, False, "0", "T", "e")),
        ('"b","k","","true","false","0","T","""e"""', ("k", "", True, False, "0", "T", "e")),
        ('"b","k","v","true","true","","T",""', ("k", "v", True, True, "0", "T", "")),
        ("b,k,v,true,true,0,T,", ("k", "v", True, True, "0", "T", "")),
        ('"b","%E2%82%AC%0A%2C","v","true","false","1","T","e"', ("€\n,", "v", True, False, "1", "T", "e")),
    ],
)  # fmt: skip
def test_a_line_of_csv(line: str, listed: tuple[Any, ...]) -> None:
    assert list(listed_in_csv([line + "\n"], "b", FIELDS)) == [InventoryVersion(*listed)]


def test_a_key_that_no_catalogue_can_hold_is_left_out() -> None:
    lines = ['"b","a%00b","v","true","false","1","T","e"\n', '"b","k","v","true","false","1","T","e"\n']
    assert [one.key for one in listed_in_csv(lines, "b", FIELDS)] == ["k"]
