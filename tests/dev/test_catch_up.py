"""What was put while nobody could be told is in the catalogue after the next start."""

from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, text

from chalicelib import runtime
from chalicelib.catalog.objects import EVERYTHING
from chalicelib.db.engine import create_catalog_engine
from chalicelib.services.context import Context
from chalicelib.store.client import ObjectStore
from dev.catch_up import catch_up
from dev.infra import client
from dev.stack import Stack
from tests.support.aws import make_bucket, s3_client, send_events, set_versioning, take_messages
from tests.support.contexts import context_on
from tests.support.recording import deliver_messages


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_catalog_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(params=["versioned", "suspended", "plain"])
def bucket(stack: Stack, request: pytest.FixtureRequest) -> str:
    name = f"catch-up-{request.param}"
    s3 = s3_client(stack.emulator.url)
    make_bucket(s3, name, versioned=request.param == "versioned")
    send_events(s3, name, stack.deployed.queue_arn)
    if request.param == "suspended":
        _act(s3, name, Random(0), 20)
        set_versioning(s3, name, "Enabled")
        _act(s3, name, Random(1), 40)
        set_versioning(s3, name, "Suspended")
    return name


@pytest.mark.parametrize("seed", range(4))
def test_the_catalogue_equals_the_bucket_whatever_events_are_lost(
    stack: Stack, engine: Engine, bucket: str, seed: int
) -> None:
    random, s3 = Random(seed), s3_client(stack.emulator.url)
    record = partial(_record, engine)
    _receive(stack)
    _act(s3, bucket, random, 80)
    messages = _receive(stack)

    told = [message for message in messages if random.random() < 0.5]
    record(random.sample(told, len(told)))

    caught = catch_up(_context(engine, s3), bucket)
    assert caught > 0
    assert _catalogue(engine, bucket) == _listed(s3, bucket)
    assert catch_up(_context(engine, s3), bucket) == 0

    if bucket == "catch-up-versioned":  # without version ids, an event can't be told from that of an earlier object
        there = {version_id for page in _versions(s3, bucket) for _, version_id in page}
        late = [message for message in messages if any(f'"{version_id}"' in message for version_id in there)]
        assert late
        for message in random.sample(late, len(late)):
            record([message])
            assert _catalogue(engine, bucket) == _listed(s3, bucket)
    record(random.sample(messages, len(messages)))  # they were only late
    assert _catalogue(engine, bucket) == _listed(s3, bucket)

    for page in _versions(s3, bucket):
        for key, version_id in page:
            s3.delete_object(Bucket=bucket, Key=key, VersionId=version_id)
    catch_up(_context(engine, s3), bucket)
    assert _catalogue(engine, bucket) == {}


def _context(engine: Engine, s3: Any) -> Context:
    return context_on(engine, ObjectStore(s3, s3, lambda: EVERYTHING))


def _act(s3: Any, bucket: str, random: Random, times: int) -> None:
    """Puts, deletions, and removals of versions, on few keys."""
    there: list[tuple[str, str]] = []
    for number in range(times):
        key = f"key {random.randrange(12)} ü"
        if there and random.random() < 0.2:
            key, version_id = there.pop(random.randrange(len(there)))
            s3.delete_object(Bucket=bucket, Key=key, VersionId=version_id)
        elif random.random() < 0.25:
            version_id = s3.delete_object(Bucket=bucket, Key=key).get("VersionId", "null")
            there.append((key, version_id))
        else:
            answer = s3.put_object(Bucket=bucket, Key=key, Body=b"%d" % number)
            there.append((key, answer.get("VersionId", "null")))


def _record(engine: Engine, bodies: list[str]) -> None:
    deliver_messages(engine, bodies, runtime.now())


def _receive(stack: Stack) -> list[str]:
    return take_messages(client("sqs", stack.emulator.url), stack.deployed.queue_url)


def _catalogue(engine: Engine, bucket: str) -> dict[str, str]:
    statement = text("SELECT key, etag FROM files WHERE bucket = :bucket AND state = 'stored'")
    with engine.connect() as connection:
        return {row.key: row.etag for row in connection.execute(statement, {"bucket": bucket})}


def _versions(s3: Any, bucket: str) -> Iterator[list[tuple[str, str]]]:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        yield [(version["Key"], version["VersionId"]) for version in found]


def _listed(s3: Any, bucket: str) -> dict[str, str]:
    listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {item["Key"]: item["ETag"].strip('"') for item in listed}
