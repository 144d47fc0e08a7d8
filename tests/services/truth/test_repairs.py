"""One repair, and the catalogue is what the bucket holds: odd keys, several workers, dead ones, false removals, late writers."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from chalicelib import runtime
from chalicelib.catalog.audits import AuditRequest
from chalicelib.db import audit_ranges
from chalicelib.services.context import Context
from chalicelib.services.truth import auditing
from chalicelib.services.truth.allowances import Allowance
from chalicelib.store import listing
from chalicelib.store.versions import Versions
from tests.support.aws import make_bucket, set_versioning
from tests.support.listings import listed_by_catalogue, listed_by_s3
from tests.support.notifications import body, s3_record
from tests.support.recording import deliver_messages
from tests.support.repairing import assert_right, repair, suspended_bucket, tell

HOSTILE = [
    "%", "100%25", "_", "a%2Fb", "a+b", "a b", "a&b", "a<b>", 'quo"te\'s', "back\\slash", "tab\there", "new\nline", "{a,b}",
    "NULL", "ü", "🎉", "\ud7ff", "\ue000", "\U0010ffff", "a/b//c/", "x" * 1000,
]  # fmt: skip
_numbers = count()


@pytest.fixture
def short_pages(s3: Any) -> Iterator[None]:
    """Three entries a page, as if three were S3's thousand."""
    event = "provide-client-params.s3.ListObjectVersions"

    def shorten(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = 3

    s3.meta.events.register(event, shorten)
    yield
    s3.meta.events.unregister(event, shorten)


@pytest.fixture
def whole_seconds(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Listings that tell whole seconds, as AWS's do. All that is listed was made within this one."""
    second = runtime.now().replace(microsecond=0)
    listed = listing._listed
    monkeypatch.setattr(listing, "_listed", lambda entry: listed(entry)._replace(modified=second))
    return second


@pytest.mark.usefixtures("short_pages")
def test_every_hostile_key_is_taken_in_and_then_known(ctx: Context, engine: Engine, s3: Any, bucket: str) -> None:
    for key in HOSTILE:
        for number in range(4):
            s3.put_object(Bucket=bucket, Key=key, Body=b"1" * number)
        if key.startswith("a"):
            s3.delete_object(Bucket=bucket, Key=key)
    listed = len(listed_by_s3(s3, bucket))

    found = repair(ctx, bucket)
    assert (found.state, found.compared, found.recorded, found.missing) == ("done", listed, listed, listed)
    assert_right(engine, s3, bucket)
    again = repair(ctx, bucket)
    assert (again.compared, again.drift, again.recorded, again.unsure) == (listed, 0, 0, 0)


@pytest.mark.parametrize("prefix", ["a", "a%", "a/b", "\ud7ff", "\U0010ffff", "_", "100%25", "x" * 1000])
def test_a_prefix_is_taken_literally(ctx: Context, engine: Engine, s3: Any, prefix: str) -> None:
    bucket = f"audited-{next(_numbers)}-prefix"
    make_bucket(s3, bucket)
    for key in HOSTILE:
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")

    assert repair(ctx, bucket, prefix).compared == len([key for key in HOSTILE if key.startswith(prefix)])
    known = {one[0] for one in listed_by_catalogue(engine, bucket)}
    assert known == {key for key in HOSTILE if key.startswith(prefix)}
    s3.delete_object(Bucket=bucket, Key=prefix)
    gone = repair(ctx, bucket, prefix)
    assert (gone.gone, gone.recorded) == ((1, 1) if prefix in HOSTILE else (0, 0))


@pytest.mark.usefixtures("short_pages")
def test_several_workers_share_an_audit_and_compare_each_key_once(
    ctx: Context, engine: Engine, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "_SPLIT_AHEAD", 5)
    monkeypatch.setattr(auditing, "_IDLE", 0.01)
    for number in range(60):
        s3.put_object(Bucket=bucket, Key=f"k{number:02}", Body=b"1")
    repair(ctx, bucket)
    with engine.begin() as connection:
        connection.execute(text("UPDATE object_versions SET etag = 'wrong' WHERE key LIKE 'k%5'"))
    request = AuditRequest(bucket, repairs=True, grace=timedelta())
    with ctx.transaction() as tx:
        audit_id = auditing.begin_audit(tx, request)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: auditing.work_on_audit(ctx, audit_id), range(4)))

    with ctx.transaction() as tx:
        found = auditing.get_audit(tx, audit_id)
    assert (found.compared, found.different, found.recorded) == (len(listed_by_s3(s3, bucket)), 6, 6)
    assert_right(engine, s3, bucket)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM audit_ranges WHERE audit_id = :id"), {"id": audit_id}) > 1


@pytest.mark.usefixtures("short_pages")
def test_several_workers_share_a_bucket_that_nobody_knows(
    ctx: Context, engine: Engine, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "_GUESS_AFTER", timedelta())
    monkeypatch.setattr(auditing, "_IDLE", 0.01)
    pages = Versions.pages

    def slowly(self: Versions, *what: str) -> Iterator[Any]:
        for page in pages(self, *what):
            time.sleep(0.1)
            yield page

    monkeypatch.setattr(Versions, "pages", slowly)
    for number in range(80):
        s3.put_object(Bucket=bucket, Key=f"2026/{number % 7}/{number:02}", Body=b"1")
    with ctx.transaction() as tx:
        audit_id = auditing.begin_audit(tx, AuditRequest(bucket, repairs=True, grace=timedelta()))
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: auditing.work_on_audit(ctx, audit_id), range(4)))

    with ctx.transaction() as tx:
        found = auditing.get_audit(tx, audit_id)
    listed = len(listed_by_s3(s3, bucket))
    assert (found.compared, found.missing, found.recorded) == (listed, listed, listed)
    assert_right(engine, s3, bucket)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM audit_ranges WHERE audit_id = :id"), {"id": audit_id}) > 1


@pytest.mark.usefixtures("short_pages")
@pytest.mark.parametrize("dies_after", [0, 1, 2, 5, 9])
def test_another_worker_goes_on_where_one_has_died(
    ctx: Context, engine: Engine, s3: Any, bucket: str, dies_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        s3.put_object(Bucket=bucket, Key=f"k{number:02}", Body=b"1")
    with ctx.transaction() as tx:
        audit_id = auditing.begin_audit(tx, AuditRequest(bucket, repairs=True, grace=timedelta()))
    with monkeypatch.context() as patch:
        patch.setattr(audit_ranges, "release_ranges", lambda *_: None)  # the dead give nothing back
        auditing.work_on_audit(ctx, audit_id, Allowance(requests=dies_after))
    with engine.begin() as connection:
        expire = (
            "UPDATE audit_ranges SET leased_until = clock_timestamp() - interval '1 s' WHERE leased_until IS NOT NULL"
        )
        connection.execute(text(expire))
    assert auditing.work_on_audit(ctx, audit_id)

    with ctx.transaction() as tx:
        found = auditing.get_audit(tx, audit_id)
    listed = len(listed_by_s3(s3, bucket))
    assert (found.state, found.compared, found.missing, found.recorded) == ("done", listed, listed, listed)
    assert_right(engine, s3, bucket)


@pytest.mark.usefixtures("short_pages")
def test_a_key_of_many_pages_is_one_history_and_keeps_its_worker(
    ctx: Context, engine: Engine, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = f"audited-{next(_numbers)}"
    make_bucket(s3, bucket, versioned=True)
    for key, versions in (("a", 1), ("long", 11), ("longer", 3), ("z", 2)):
        for number in range(versions):
            s3.put_object(Bucket=bucket, Key=key, Body=b"1" * number)
    renewed: list[int] = []
    renew = audit_ranges.renew_range
    monkeypatch.setattr(audit_ranges, "renew_range", lambda session, one: renewed.append(one) or renew(session, one))

    found = repair(ctx, bucket)
    assert (found.compared, found.missing) == (17, 17)
    assert_right(engine, s3, bucket)
    assert len(renewed) >= 2
    assert repair(ctx, bucket).drift == 0


def test_an_overwrite_that_nobody_told_of_is_found_though_it_is_listed_as_older(
    ctx: Context, engine: Engine, s3: Any
) -> None:
    """As a multipart upload is that was begun before."""
    bucket = f"audited-{next(_numbers)}"
    make_bucket(s3, bucket, versioned=False)
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    later = runtime.now() + timedelta(hours=1)
    fields = {"etag": put["ETag"].strip('"'), "sequencer": "0A", "size": 1, "time": later}
    deliver_messages(engine, [body(s3_record("ObjectCreated:Put", "k", bucket=bucket, **fields))], later)
    s3.put_object(Bucket=bucket, Key="k", Body=b"22")

    assert repair(ctx, bucket).recorded == 1
    assert_right(engine, s3, bucket)


@pytest.mark.parametrize("is_covered", [False, True])
def test_a_deletion_within_the_second_of_its_put_is_found_though_nobody_told_of_it(
    ctx: Context, engine: Engine, s3: Any, whole_seconds: datetime, is_covered: bool
) -> None:
    """The listing has the delete marker as older than the object in whose place it is."""
    bucket = suspended_bucket(s3)
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    tell(engine, bucket, "k", put, "0A", time=whole_seconds + timedelta(milliseconds=700))
    s3.delete_object(Bucket=bucket, Key="k")
    if is_covered:
        set_versioning(s3, bucket, "Enabled")
        later = s3.put_object(Bucket=bucket, Key="k", Body=b"2")
        tell(engine, bucket, "k", later, "0C", time=whole_seconds + timedelta(milliseconds=950))

    found = repair(ctx, bucket)
    assert (found.state, found.different, found.recorded) == ("done", 1, 1)
    assert_right(engine, s3, bucket)
    late = {"version_id": "null", "sequencer": "0B", "time": whole_seconds + timedelta(milliseconds=900)}
    marker = s3_record("ObjectRemoved:DeleteMarkerCreated", "k", bucket=bucket, **late)
    deliver_messages(engine, [body(marker)], runtime.now())
    assert_right(engine, s3, bucket)
    assert repair(ctx, bucket).drift == 0


def test_an_object_that_comes_after_a_listing_of_a_delete_marker_stays(
    ctx: Context, engine: Engine, s3: Any, whole_seconds: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = suspended_bucket(s3)
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    tell(engine, bucket, "k", put, "0A", time=whole_seconds + timedelta(milliseconds=700))
    s3.delete_object(Bucket=bucket, Key="k")
    of_key = Versions.of_key

    def early(self: Versions, *where: str) -> Any:
        history = of_key(self, *where)
        s3.put_object(Bucket=bucket, Key="k", Body=b"1")
        return history

    with monkeypatch.context() as patch:
        patch.setattr(Versions, "of_key", early)
        assert repair(ctx, bucket).recorded == 0
    assert_right(engine, s3, bucket)


@pytest.mark.parametrize("was_put_known", [True, False])
def test_a_removal_that_never_was_is_taken_back(ctx: Context, engine: Engine, s3: Any, was_put_known: bool) -> None:
    bucket = f"audited-{next(_numbers)}"
    make_bucket(s3, bucket, versioned=True)
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    if was_put_known:
        tell(engine, bucket, "k", put, "0A")
    tell(engine, bucket, "k", put, "0B", "ObjectRemoved:Delete")
    assert listed_by_catalogue(engine, bucket) == set()

    found = repair(ctx, bucket)
    assert (found.state, found.drift) == ("done", 1)
    assert_right(engine, s3, bucket)
    assert repair(ctx, bucket).drift == 0


@pytest.mark.parametrize("event", ["put", "removal", "put again"])
def test_what_is_recorded_while_a_page_is_on_its_way_is_never_overruled_by_it(
    ctx: Context, engine: Engine, s3: Any, bucket: str, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page shows the bucket as it was before; the events of what happened since are recorded before it is compared."""
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    tell(engine, bucket, "k", first, "0A")
    versions = ctx.store.versions
    pages = versions.pages

    def late(*what: Any) -> Iterator[Any]:
        for page in list(pages(*what)):
            if event in ("removal", "put again"):
                s3.delete_object(Bucket=bucket, Key="k", VersionId=first.get("VersionId", "null"))
                tell(engine, bucket, "k", first, "0B", "ObjectRemoved:Delete")
            if event in ("put", "put again"):
                tell(engine, bucket, "k", s3.put_object(Bucket=bucket, Key="k", Body=b"2"), "0C")
            yield page

    monkeypatch.setattr(type(versions), "pages", lambda self, *what: late(*what))
    found = repair(ctx, bucket)
    monkeypatch.undo()

    assert found.state == "done"
    stored = {"put": b"2", "removal": None, "put again": b"2"}[event]
    statement = text("SELECT etag FROM files WHERE bucket = :bucket AND key = 'k' AND state = 'stored'")
    with engine.connect() as connection:
        etag = connection.scalar(statement, {"bucket": bucket})
    current = [one["ETag"].strip('"') for one in s3.list_objects_v2(Bucket=bucket, Prefix="k").get("Contents", [])]
    assert [etag] == current if stored else (etag, current) == (None, [])
    assert {one[:2] for one in listed_by_catalogue(engine, bucket)} == {one[:2] for one in listed_by_s3(s3, bucket)}


def test_writers_and_two_audits_at_once_and_then_one_repair(ctx: Context, engine: Engine, s3: Any, bucket: str) -> None:
    """Every fifth event is lost."""
    marker = uuid4().hex

    def write(writer: int) -> None:
        for number in range(12):
            key, sequencer = f"{marker} {(writer * 5 + number) % 9}", f"{next(_numbers):06X}"
            put = s3.put_object(Bucket=bucket, Key=key, Body=b"%d" % number)
            if number % 5:
                tell(engine, bucket, key, put, sequencer)

    with ThreadPoolExecutor(10) as pool:
        done = [pool.submit(write, writer) for writer in range(8)]
        done += [pool.submit(repair, ctx, bucket) for _ in range(2)]  # type: ignore[arg-type]
        for one in done:
            one.result()
    repair(ctx, bucket)
    assert_right(engine, s3, bucket)
    assert repair(ctx, bucket).drift == 0
