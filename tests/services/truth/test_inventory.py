"""A repair from an S3 Inventory, of today or of long ago: the catalogue is what the bucket holds, and nothing else is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, text

from chalicelib import runtime
from chalicelib.catalog.audits import AuditRequest
from chalicelib.db import audits
from chalicelib.services.context import Context
from chalicelib.services.truth import auditing, inventories
from tests.support.inventories import InventoryMaker, run
from tests.support.listings import listed_by_catalogue, listed_by_s3
from tests.support.notifications import body, s3_record
from tests.support.recording import deliver_messages

HOSTILE = [
    "%", "100%25", "_", "a%2Fb", "a+b", "a b", "a&b", "a<b>", 'quo"te\'s', "back\\slash", "\\.", "\\N", "tab\there", "new\nline",
    "car\rriage", "com,ma", '","', "{a,b}", "NULL", "null", "ü", "🎉", "\ud7ff", "\ue000", "\U0010ffff", "a/b//c/", "x" * 1000,
]  # fmt: skip
LONG_AGO = timedelta(days=3)
_numbers = count()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventories, "_VERSIONS_AT_ONCE", 5)


def put_object(s3: Any, bucket: str, key: str, content: bytes) -> dict[str, Any]:
    return {**s3.put_object(Bucket=bucket, Key=key, Body=content), "Size": len(content)}


def tell(engine: Engine, bucket: str, key: str, put: dict[str, Any], event: str = "ObjectCreated:Put") -> None:
    """An event that is told at once, with a time in whole seconds, as LastModified is."""
    at = runtime.now().replace(microsecond=0)
    fields = {"version_id": put.get("VersionId"), "etag": put.get("ETag", "").strip('"'), "time": at}
    record = s3_record(event, key, bucket=bucket, size=put.get("Size", 1), sequencer=f"{next(_numbers):06X}", **fields)
    deliver_messages(engine, [body(record)], runtime.now())


def age(engine: Engine, key: str = "%") -> None:
    """As if all that is known had been stored long before."""
    with engine.begin() as connection:
        statement = text("UPDATE object_versions SET stored_at = stored_at - interval '10 days' WHERE key LIKE :key")
        connection.execute(statement, {"key": key})


@contextmanager
def no_listing(s3: Any) -> Iterator[None]:
    """Whoever lists the bucket fails."""
    event = "provide-client-params.s3.ListObjectVersions"

    def refuse(**_: Any) -> None:
        raise AssertionError("the bucket was listed")

    s3.meta.events.register(event, refuse)
    yield
    s3.meta.events.unregister(event, refuse)


def assert_right(engine: Engine, s3: Any, bucket: str) -> None:
    assert listed_by_catalogue(engine, bucket) == listed_by_s3(s3, bucket)
    statement = text("SELECT key, size, etag FROM files WHERE bucket = :bucket AND state = 'stored'")
    with engine.connect() as connection:
        stored = {tuple(row) for row in connection.execute(statement, {"bucket": bucket})}
        left = connection.scalar(text("SELECT count(*) FROM inventory_versions"))
    current = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    assert stored == {(one["Key"], one["Size"], one["ETag"].strip('"')) for one in current}
    assert left == 0


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("form", ["CSV", "Parquet"])
def test_every_hostile_key_is_taken_in_and_then_known(
    ctx: Context, engine: Engine, s3: Any, bucket: str, form: str
) -> None:
    for key in HOSTILE:
        for number in range(3):
            s3.put_object(Bucket=bucket, Key=key, Body=b"1" * number)
        if key.startswith("a"):
            s3.delete_object(Bucket=bucket, Key=key)
    listed = len(listed_by_s3(s3, bucket))
    manifest = InventoryMaker(s3, bucket, form).put()

    found = run(ctx, bucket, manifest)
    assert (found.state, found.problem, found.recorded, found.missing) == ("done", None, listed, listed)
    assert found.compared == listed
    assert_right(engine, s3, bucket)
    # Now nothing differs, and not one key is looked at in the bucket.
    with no_listing(s3):
        again = run(ctx, bucket, manifest)
    assert (again.state, again.compared, again.drift, again.recorded, again.unsure) == ("done", listed, 0, 0, 0)


def act_on(engine: Engine, s3: Any, bucket: str, puts: dict[str, Any]) -> None:
    """Overwrite, delete and remove what was put, and tell of half of it."""
    for number, (key, put) in enumerate(puts.items()):
        is_told = number // 8 % 2
        act = number % 8
        if act in (0, 1):
            new = put_object(s3, bucket, key, b"new")
            if is_told:
                tell(engine, bucket, key, new)
        elif act in (2, 3):
            gone = s3.delete_object(Bucket=bucket, Key=key)
            if is_told:
                event = "ObjectRemoved:DeleteMarkerCreated" if gone.get("VersionId") else "ObjectRemoved:Delete"
                tell(engine, bucket, key, gone, event)
        elif act in (4, 5):
            version_id = put.get("VersionId", "null")
            s3.delete_object(Bucket=bucket, Key=key, VersionId=version_id)
            if is_told:
                tell(engine, bucket, key, put, "ObjectRemoved:Delete")


@pytest.mark.parametrize("form", ["CSV", "Parquet"])
@pytest.mark.parametrize("looks_at_keys", [True, False])
def test_an_inventory_of_long_ago_buries_nothing_and_brings_nothing_back(
    ctx: Context, engine: Engine, s3: Any, bucket: str, form: str, looks_at_keys: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since it was made, clients have put, overwritten and deleted; half of that was told of, and half of what was before."""
    if not looks_at_keys:
        monkeypatch.setattr(inventories, "_ALWAYS_LOOKED_AT", 0)
    puts = {}
    for number in range(24):
        key = f"k{number:02}"
        puts[key] = put_object(s3, bucket, key, b"%d" % number)
        if number % 2:
            tell(engine, bucket, key, puts[key])
    manifest = InventoryMaker(s3, bucket, form).put(at=datetime.now(UTC) - LONG_AGO)
    act_on(engine, s3, bucket, puts)
    for number in range(8):
        new = put_object(s3, bucket, f"k{number:02}-new", b"later")
        if number % 2:
            tell(engine, bucket, f"k{number:02}-new", new)

    found = run(ctx, bucket, manifest)

    # What came later and wasn't told of, no inventory of before can tell. Nothing else is wrong, and nothing that is there dead.
    untold = {f"k{number:02}-new" for number in range(0, 8, 2)}
    untold |= {key for number, key in enumerate(puts) if number % 2 and number % 8 < 6 and not number // 8 % 2}
    listed, known = listed_by_s3(s3, bucket), listed_by_catalogue(engine, bucket)
    assert found.state == "done"
    assert {one for one in known if one[0] not in untold} == {one for one in listed if one[0] not in untold}
    assert {one[:2] for one in listed}.isdisjoint(dead_versions(engine, bucket))
    if not looks_at_keys:
        assert_right(engine, s3, bucket)
    auditing.audit(ctx, AuditRequest(bucket, repairs=True, brake=1, grace=timedelta()))
    assert_right(engine, s3, bucket)


def dead_versions(engine: Engine, bucket: str) -> set[tuple[str, str]]:
    statement = text("SELECT key, version_id FROM object_versions WHERE bucket = :bucket AND NOT alive")
    with engine.connect() as connection:
        return {(key, version_id) for key, version_id in connection.execute(statement, {"bucket": bucket})}


@pytest.mark.parametrize("is_old", [True, False])
def test_a_wrong_inventory_stops_at_the_brake_or_changes_nothing(
    ctx: Context, engine: Engine, s3: Any, bucket: str, is_old: bool
) -> None:
    for number in range(18):
        tell(engine, bucket, f"k{number:02}", s3.put_object(Bucket=bucket, Key=f"k{number:02}", Body=b"1"))
    tells = InventoryMaker(s3, bucket)
    auditing.audit(ctx, AuditRequest(bucket, repairs=True, brake=1, grace=timedelta()))
    if is_old:
        age(engine)
    tells.rows = tells.rows[:1]  # as one that lists only some prefix

    found = run(ctx, bucket, tells.put(), brake=0.05)
    assert (found.state, found.recorded) == ("braked" if is_old else "done", 0)
    assert {one[:2] for one in listed_by_catalogue(engine, bucket)} == {one[:2] for one in listed_by_s3(s3, bucket)}


def test_an_audit_alone_counts_and_records_nothing(ctx: Context, engine: Engine, s3: Any, bucket: str) -> None:
    for key in ("there", "lost", "wrong"):
        put = s3.put_object(Bucket=bucket, Key=key, Body=b"1")
        if key != "lost":
            tell(engine, bucket, key, put)
    manifest = InventoryMaker(s3, bucket).put()
    with engine.begin() as connection:
        wrong = (
            "UPDATE object_versions SET etag = 'wrong', stored_at = stored_at - interval '1 minute' WHERE key = 'wrong'"
        )
        connection.execute(text(wrong))
    tell(engine, bucket, "ghost", {"VersionId": "0123" if bucket.endswith("-versioned") else None, "ETag": "e"})
    before = listed_by_catalogue(engine, bucket)

    found = run(ctx, bucket, manifest, repairs=False)
    older = 1 if bucket.endswith("-suspended") else 0
    assert (found.missing, found.different, found.gone, found.recorded) == (1 + older, 1, 1, 0)
    assert listed_by_catalogue(engine, bucket) == before
    assert found.inventory == f"s3://{manifest[0]}/{manifest[1]}"


def test_a_prefix_is_all_that_is_compared(ctx: Context, engine: Engine, s3: Any, bucket: str) -> None:
    for key in ("a/1", "a/2", "b/1"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    found = run(ctx, bucket, InventoryMaker(s3, bucket).put(), prefix="a/")
    assert (found.compared, found.recorded) == (2, 2)
    assert {one[0] for one in listed_by_catalogue(engine, bucket)} == {"a/1", "a/2"}


def test_what_is_known_is_as_old_as_the_inventory(ctx: Context, s3: Any, plain_bucket: str) -> None:
    s3.put_object(Bucket=plain_bucket, Key="k", Body=b"1")
    made_at = datetime(2026, 11, 20, 3, tzinfo=UTC)
    run(ctx, plain_bucket, InventoryMaker(s3, plain_bucket).put(at=made_at))
    with ctx.transaction() as tx:
        (truth,) = (one for one in audits.truth_of(tx.session, [plain_bucket], tx.now) if one.bucket == plain_bucket)
    assert truth.agreed_at == made_at - timedelta(days=1)
