"""Audits from an S3 Inventory by route."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import Api, assert_problem
from tests.support.aws import make_bucket
from tests.support.inventories import FIELDS, InventoryMaker

LISTS = "lists-of-versioned"


@pytest.fixture
def prefix(s3: Any, files_api: Api) -> str:
    """Three objects that no event told of."""
    prefix = f"stocked-{uuid4()}/"
    for name in "abc":
        s3.put_object(Bucket="versioned", Key=prefix + name, Body=b"12345")
    if LISTS not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        make_bucket(s3, LISTS)
    return prefix


@pytest.fixture
def maker(s3: Any, prefix: str) -> InventoryMaker:
    return InventoryMaker(s3, "versioned", target=LISTS)


def ask(api: Api, place: tuple[str, str], **wish: Any) -> Any:
    bucket, key = place
    return api("POST", "/api/audits", {"grace_seconds": 0, "inventory": {"bucket": bucket, "key": key}, **wish})


def test_a_repair_from_an_inventory_records_what_was_missing(
    files_api: Api, maker: InventoryMaker, prefix: str
) -> None:
    place = maker.put()
    answer = ask(files_api, place, prefix=prefix, repairs=True)
    assert answer.status == 202, answer.body
    audit = files_api("GET", f"/api/audits/{answer.json['id']}").json
    assert (audit["state"], audit["compared"], audit["missing"], audit["recorded"]) == ("done", 3, 3, 3)
    assert audit["inventory"] == f"s3://{place[0]}/{place[1]}"
    assert audit["inventory_at"] <= audit["created_at"]
    listed = files_api("GET", "/api/audits?limit=1").json["items"][0]
    assert (listed["id"], listed["inventory"], listed["inventory_at"]) == (
        audit["id"],
        audit["inventory"],
        audit["inventory_at"],
    )
    files = files_api("GET", f"/api/files?prefix={prefix}").json["items"]
    assert sorted(file["key"] for file in files) == [prefix + name for name in "abc"]


def test_parquet_is_left_to_the_command_line(files_api: Api, maker: InventoryMaker) -> None:
    maker.form = "Parquet"
    answer = ask(files_api, maker.put_files([]))
    assert_problem(answer, 422, "unprocessable")
    assert "python -m dev audit --inventory" in answer.json["detail"]


def test_what_is_no_inventory_of_this_bucket_is_refused(files_api: Api, maker: InventoryMaker) -> None:
    assert_problem(ask(files_api, maker.put(sourceBucket="elsewhere")), 422, "unprocessable")
    assert_problem(ask(files_api, (LISTS, "nothing.json")), 422, "unprocessable")
    maker.fields = FIELDS[:2]
    answer = ask(files_api, maker.put())
    assert_problem(answer, 422, "unprocessable")
    assert "VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag" in answer.json["detail"]


def test_a_file_that_is_not_there_fails_the_audit(files_api: Api, maker: InventoryMaker, prefix: str) -> None:
    missing = [{"key": "nothing.csv.gz", "size": 1, "MD5checksum": "0" * 32}]
    answer = ask(files_api, maker.put(files=missing), prefix=prefix, repairs=True)
    audit = files_api("GET", f"/api/audits/{answer.json['id']}").json
    assert (audit["state"], audit["recorded"]) == ("failed", 0)
    assert audit["problem"] == f"There is no s3://{LISTS}/nothing.csv.gz."


@pytest.mark.parametrize(
    ("inventory", "field"),
    [({"bucket": "bbb"}, "inventory.key"), ({"bucket": "", "key": "k"}, "inventory.bucket"), ("s3://b/k", "inventory")],
)
def test_what_names_no_manifest_is_refused(files_api: Api, inventory: Any, field: str) -> None:
    assert_problem(files_api("POST", "/api/audits", {"inventory": inventory}), 400, "invalid-input", ("body", field))


@pytest.mark.parametrize("bucket", ["nobody-has-made-this", "0" * 255])
def test_an_inventory_in_a_bucket_that_is_not_there_is_the_callers_error(files_api: Api, bucket: str) -> None:
    answer = ask(files_api, (bucket, "manifest.json"))
    assert_problem(answer, 422, "unprocessable")
    assert answer.json["detail"] == f"There is no bucket {bucket}."


def test_a_key_that_is_longer_than_any_is_the_callers_error(files_api: Api) -> None:
    """A key has up to 1,024 bytes; the schema counts characters."""
    assert_problem(ask(files_api, (LISTS, "é" * 1024)), 422, "unprocessable")
