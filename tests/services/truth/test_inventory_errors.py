"""An inventory that can't be read, or isn't the right one: one clear sentence, and nothing is recorded."""

import gzip
import json
from collections.abc import Callable
from hashlib import md5
from typing import Any

import pytest
from sqlalchemy import Engine, text

from chalicelib.catalog.audits import Audit
from chalicelib.errors import InvalidInventory
from chalicelib.services.context import Context
from chalicelib.services.truth import auditing
from chalicelib.services.truth.loading import read_inventory
from tests.support.inventories import FIELDS, InventoryMaker, as_csv, begin, run

Spoil = Callable[[bytes], bytes]


@pytest.fixture
def maker(s3: Any, plain_bucket: str) -> InventoryMaker:
    for number in range(20):
        s3.put_object(Bucket=plain_bucket, Key=f"k{number:02}", Body=b"1")
    return InventoryMaker(s3, plain_bucket)


def assert_nothing_recorded(engine: Engine, audit: Audit) -> None:
    assert (audit.state, audit.compared, audit.drift, audit.recorded) == ("failed", 0, 0, 0)
    assert audit.finished_at is not None
    with engine.connect() as connection:
        for table in ("object_versions", "files", "inventory_versions"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0


def spoiled(maker: InventoryMaker, spoil: Spoil, *, is_named: bool) -> tuple[str, str]:
    """An inventory whose last file is spoiled; ``is_named``: the manifest has the MD5 and the size of the spoiled one."""
    good = [as_csv(maker.rows[:10]), as_csv(maker.rows[10:])]
    bad = [good[0], spoil(good[1])]
    if is_named:
        return maker.put_files(bad)
    place = maker.put_files(good)
    maker.s3.put_object(Bucket=maker.target, Key=f"inventories/{maker.source}/all/data/1.csv.gz", Body=bad[1])
    return place


@pytest.mark.parametrize(
    ("spoil", "is_named", "problem"),
    [
        (lambda good: good[:4] + b"\1" + good[5:], False, "another file than its manifest names"),
        (lambda good: good[: len(good) // 2], False, "another file than its manifest names"),
        (lambda good: good + b"more", False, "another file than its manifest names"),
        (lambda good: good[: len(good) // 2], True, "no whole gzip file"),
        (gzip.decompress, True, "no whole gzip file"),
        (lambda good: gzip.compress(gzip.decompress(good)[:-2]), True, "doesn't fit its schema"),
        (lambda good: gzip.compress(b'"one","two"\n'), True, "doesn't fit its schema"),
        (lambda good: gzip.compress(b"\xff\xfe\n"), True, "no whole gzip file of text"),
        (lambda good: gzip.compress(gzip.decompress(good).replace(b'"true"', b'"yes"')), True, "doesn't fit its schema"),
        (lambda good: gzip.compress(gzip.decompress(good).replace(b"k1", b"%FF")), True, "doesn't fit its schema"),
        (lambda good: gzip.compress(gzip.decompress(good).replace(b'"1","', b'"much","')), True, "sizes or times"),
        (lambda good: gzip.compress(gzip.decompress(good).replace(b'"20', b'"AD')), True, "sizes or times"),
        (lambda good: gzip.compress(gzip.decompress(good).replace(b'"stocked', b'"other')), True, "lists the bucket 'other"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_believed_fails_the_audit(
    ctx: Context, engine: Engine, maker: InventoryMaker, spoil: Spoil, is_named: bool, problem: str
) -> None:
    found = run(ctx, maker.source, spoiled(maker, spoil, is_named=is_named))
    assert problem in (found.problem or "")
    assert_nothing_recorded(engine, found)


def test_a_file_in_an_archive_fails_the_audit(ctx: Context, engine: Engine, maker: InventoryMaker) -> None:
    """It would be tried for ever, and hold the clock's audits of the bucket up."""
    place, key = maker.put(), f"inventories/{maker.source}/all/data/1.csv.gz"
    file = maker.s3.get_object(Bucket=maker.target, Key=key)["Body"].read()
    maker.s3.put_object(Bucket=maker.target, Key=key, Body=file, StorageClass="GLACIER")
    found = run(ctx, maker.source, place)
    assert found.problem == f"s3://{maker.target}/{key} can't be read: the store answers InvalidObjectState."
    assert_nothing_recorded(engine, found)


def test_a_file_that_is_gone_fails_the_audit(ctx: Context, engine: Engine, maker: InventoryMaker) -> None:
    place = maker.put()
    maker.s3.delete_object(Bucket=maker.target, Key=f"inventories/{maker.source}/all/data/1.csv.gz")
    found = run(ctx, maker.source, place)
    assert found.problem == f"There is no s3://{maker.target}/inventories/{maker.source}/all/data/1.csv.gz."
    assert_nothing_recorded(engine, found)


def test_a_file_that_is_no_parquet_fails_the_audit(ctx: Context, engine: Engine, maker: InventoryMaker) -> None:
    maker.form = "Parquet"
    found = run(ctx, maker.source, maker.put_files([as_csv(maker.rows)]))
    assert "it is no Parquet" in (found.problem or "")
    assert_nothing_recorded(engine, found)


@pytest.mark.parametrize("form", ["CSV", "Parquet"])
def test_fields_that_are_missing_are_named(ctx: Context, maker: InventoryMaker, form: str) -> None:
    maker.form = form
    maker.fields = [name for name in FIELDS if name not in ("VersionId", "IsLatest", "IsDeleteMarker", "ETag")]
    place = maker.put_files([])
    with pytest.raises(InvalidInventory, match="lacks the fields VersionId, IsLatest, IsDeleteMarker, ETag"):
        begin(ctx, maker.source, place)


def test_the_order_of_fields_is_the_manifests(ctx: Context, maker: InventoryMaker) -> None:
    maker.fields = FIELDS[::-1]
    assert run(ctx, maker.source, maker.put()).recorded == 20


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        ({"sourceBucket": "another"}, "is an inventory of 'another', and not of 'stocked"),
        ({"fileFormat": "ORC"}, "is written as ORC. CSV and Parquet can be read"),
        ({"fileFormat": 1}, "is no manifest"),
        ({"creationTimestamp": "yesterday"}, "is no manifest"),
        ({"creationTimestamp": "9" * 30}, "is no manifest"),
        ({"files": [{"key": "k", "size": 1}]}, "is no manifest"),
        ({"files": [{"key": "k", "size": 1, "MD5checksum": "x"}]}, "is no manifest"),
        ({"files": None}, "is no manifest"),
    ],
)
def test_a_manifest_that_makes_no_sense_begins_nothing(
    ctx: Context, engine: Engine, maker: InventoryMaker, manifest: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidInventory, match=problem):
        begin(ctx, maker.source, maker.put(**manifest))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM audits")) == 0


@pytest.mark.parametrize("written", [b"", b"[]", b"{}", b"\xff", b"Bucket, Key", json.dumps({"files": 1}).encode()])
def test_what_is_no_manifest_is_none(ctx: Context, maker: InventoryMaker, written: bytes) -> None:
    maker.s3.put_object(Bucket=maker.target, Key="manifest.json", Body=written)
    with pytest.raises(InvalidInventory, match=r"is no manifest of an S3 Inventory"):
        read_inventory(ctx, maker.target, "manifest.json", maker.source)


def test_a_manifest_that_is_not_there_is_told(ctx: Context, maker: InventoryMaker) -> None:
    with pytest.raises(InvalidInventory, match=f"There is no s3://{maker.target}/manifest.json"):
        read_inventory(ctx, maker.target, "manifest.json", maker.source)


def test_an_empty_inventory_finds_all_to_be_gone_and_asks_the_bucket(ctx: Context, maker: InventoryMaker) -> None:
    auditing.audit(ctx, auditing.AuditRequest(maker.source, repairs=True))
    found = run(ctx, maker.source, maker.put_files([]))
    assert (found.state, found.drift) == ("done", 0)


def test_the_md5_may_be_in_capitals(ctx: Context, maker: InventoryMaker) -> None:
    part = as_csv(maker.rows)
    key = f"inventories/{maker.source}/all/data/0.csv.gz"
    entry = {"key": key, "size": len(part), "MD5checksum": md5(part).hexdigest().upper()}
    assert run(ctx, maker.source, maker.put_files([part], files=[entry])).recorded == 20
