"""What shows that an event was lost puts its key right at once: an inspection, or news of an unknown version."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from sqlalchemy import create_engine, text

import app
from chalicelib import runtime
from dev.emulator import Emulator
from dev.ports import free_port
from tests.support.aws import make_bucket, s3_client
from tests.support.listings import listed_by_catalogue, listed_by_s3
from tests.support.notifications import body, s3_record, sqs_event
from tests.support.process import start_over

_numbers = count()


@pytest.fixture(scope="module")
def database_url(new_migrated_database: Callable[[], str]) -> str:
    """A database of its own: no other test's objects are due to be inspected."""
    return new_migrated_database()


@pytest.fixture(scope="module")
def s3(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of the store that this process inspects."""
    emulator = Emulator(tmp_path_factory.mktemp("emulator"), free_port())
    emulator.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "LANDFALL_DATABASE_URL": database_url,
            "LANDFALL_ANY_BUCKET": "true",
            "AWS_ENDPOINT_URL": emulator.url,
        }.items():
            patch.setenv(name, value)
        start_over()
        yield s3_client(emulator.url)
    start_over()
    emulator.stop()


@pytest.fixture(params=["versioned", "plain"])
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    name = f"healing-{next(_numbers)}"
    make_bucket(s3, name, versioned=request.param == "versioned")
    return name


def tell(event: str, bucket: str, key: str, put: dict[str, Any], sequencer: str = "0A") -> None:
    fields = {"version_id": put.get("VersionId"), "etag": put["ETag"].strip('"'), "sequencer": sequencer, "size": 1}
    record = s3_record(event, key, bucket=bucket, **fields)
    assert app.ingest(sqs_event(body(record)), None) == {"batchItemFailures": []}


def assert_right(s3: Any, bucket: str, database_url: str) -> None:
    # Which is the latest is a matter of ranks, and, until all events have come, of what follows what: files show it.
    known, listed = listed_by_catalogue(runtime.engine(), bucket), listed_by_s3(s3, bucket)
    assert {(*one[:4], one[5]) for one in known} == {(*one[:4], one[5]) for one in listed}
    current = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    files = text("SELECT key, etag FROM files WHERE bucket = :bucket AND state = 'stored'")
    with create_engine(database_url).connect() as connection:
        stored = {tuple(row) for row in connection.execute(files, {"bucket": bucket})}
    assert stored == {(one["Key"], one["ETag"].strip('"')) for one in current}


def test_an_object_whose_removal_was_lost(s3: Any, bucket: str, database_url: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    s3.delete_object(Bucket=bucket, Key="k", VersionId=put.get("VersionId", "null"))
    tell("ObjectCreated:Put", bucket, "k", put)
    assert_right(s3, bucket, database_url)


def test_an_object_in_whose_place_another_one_came(s3: Any, bucket: str, database_url: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    if "VersionId" in put:
        s3.delete_object(Bucket=bucket, Key="k", VersionId=put["VersionId"])
    tell("ObjectCreated:Put", bucket, "k", put)
    assert_right(s3, bucket, database_url)


@pytest.mark.parametrize("event", ["ObjectTagging:Put", "ObjectAcl:Put"])
def test_news_of_a_version_whose_put_was_lost(s3: Any, bucket: str, database_url: str, event: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    tell(event, bucket, "k", put)
    assert_right(s3, bucket, database_url)


def test_news_of_nothing_makes_nothing(s3: Any, bucket: str, database_url: str) -> None:
    tell("ObjectTagging:Put", bucket, "k", {"ETag": '"e"'})
    assert_right(s3, bucket, database_url)


def test_events_that_were_only_late_change_nothing_any_more(s3: Any, bucket: str, database_url: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    tell("ObjectTagging:Put", bucket, "k", second)
    assert_right(s3, bucket, database_url)
    late: list[Callable[[], None]] = [lambda: tell("ObjectCreated:Put", bucket, "k", second)]
    if "VersionId" in first:
        late.insert(0, lambda: tell("ObjectCreated:Put", bucket, "k", first, sequencer="09"))
    for deliver in late:
        deliver()
        assert_right(s3, bucket, database_url)


def test_a_store_that_does_not_answer_costs_no_event(
    s3: Any, bucket: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        start_over()
        tell("ObjectTagging:Put", bucket, "k", put)
        tell("ObjectCreated:Put", bucket, "k", put)
    start_over()
    assert_right(s3, bucket, database_url)
