"""Events that can't be believed as they are: S3 is asked, and what it holds is recorded, once.

The events are made as Ceph makes them, on buckets of each kind of store.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import app
from chalicelib import runtime
from chalicelib.catalog.objects import NOTHING, ListedVersion, Over, Source
from chalicelib.catalog.observations import observe_deletion, observe_head, observe_put, observe_removal
from chalicelib.db.engine import create_catalog_engine
from chalicelib.db.history import current_at
from chalicelib.db.locks import lock_keys
from chalicelib.db.recording import record_changes
from chalicelib.store.client import ObjectStore
from chalicelib.triggers import recording
from tests.support.listings import listed_by_catalogue, listed_by_s3
from tests.support.notifications import body, ceph_record, sqs_event
from tests.support.object_stores import KINDS, Server, serving
from tests.support.process import start_over

CONTEXT = SimpleNamespace(aws_request_id="request-1")
PUT, POST, COPY = "ObjectCreated:Put", "ObjectCreated:Post", "ObjectCreated:Copy"
DELETE, MARKER = "ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated"
_names = count()


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture(scope="module")
def buckets(server: Server) -> Iterator[dict[str, str]]:
    with ExitStack() as made:
        yield {kind: made.enter_context(server.bucket(kind)) for kind in ("plain", "versioned")}


@pytest.fixture
def process(database_url: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """This process, with the store at hand. Called with variables, it starts over with them."""

    def start(**environment: str) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        start_over()

    usual = {"LANDFALL_DATABASE_URL": database_url, "LANDFALL_ANY_BUCKET": "true", "LANDFALL_INSPECTION": "schedule"}
    start(**usual, **server.environment)
    yield start
    monkeypatch.undo()
    start_over()


class World:
    """A bucket, what is done to one key of it, and what the catalogue knows of that key."""

    def __init__(self, server: Server, bucket: str, engine: Engine) -> None:
        self.s3, self.bucket, self.engine = server.s3, bucket, engine
        self.key = f"key-{next(_names)}- 100%+%2F.txt"
        client = server.client()
        self.store = ObjectStore(client, client, lambda: NOTHING)

    def put(self, content: bytes = b"hello") -> ListedVersion:
        self.s3.put_object(Bucket=self.bucket, Key=self.key, Body=content)
        return self.newest

    def delete(self, **options: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=self.key, **options)

    @property
    def newest(self) -> ListedVersion:
        return self.store.versions.of_key(self.bucket, self.key)[-1]

    def event(self, event: str, *, happened: bool = True, **fields: Any) -> str:
        """A notification of now."""
        now = datetime.now(UTC) if happened else None
        return body(ceph_record(event, self.key, bucket=self.bucket, time=now, **fields))

    def tell(self, *messages: str) -> None:
        assert app.ingest(sqs_event(*messages), CONTEXT) == {"batchItemFailures": []}

    def events(self) -> list[tuple[str, str, str]]:
        """What the history tells: kind, version and name of each event."""
        query = text("""
            SELECT change, version_id, event_name FROM file_events WHERE bucket = :bucket AND key = :key
            ORDER BY rank COLLATE "C" """)
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query, {"bucket": self.bucket, "key": self.key})]

    def state(self) -> str | None:
        query = text("SELECT state FROM files WHERE bucket = :bucket AND key = :key")
        with self.engine.connect() as connection:
            return connection.execute(query, {"bucket": self.bucket, "key": self.key}).scalar()

    def record(self, observe: Callable[[Any], Any]) -> None:
        """Record what Landfall did itself, given what was current before."""
        with runtime.context().transaction() as tx:
            record_changes(tx.session, [observe(current_at(tx.session, self.bucket, self.key))], tx.now)

    def assert_true(self) -> None:
        """The catalogue has the key's versions as S3 lists them."""
        known, there = (
            {entry for entry in found if entry[0] == self.key}
            for found in (listed_by_catalogue(self.engine, self.bucket), listed_by_s3(self.s3, self.bucket))
        )
        assert known == there


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_catalog_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def plain(process: Callable[..., None], server: Server, buckets: dict[str, str], engine: Engine) -> World:
    return World(server, buckets["plain"], engine)


@pytest.fixture
def versioned(process: Callable[..., None], server: Server, buckets: dict[str, str], engine: Engine) -> World:
    return World(server, buckets["versioned"], engine)


@pytest.fixture(params=["plain", "versioned"])
def world(
    request: pytest.FixtureRequest,
    process: Callable[..., None],
    server: Server,
    buckets: dict[str, str],
    engine: Engine,
) -> World:
    return World(server, buckets[request.param], engine)


def test_a_form_is_recorded_as_the_object_that_it_made(world: World) -> None:
    made = world.put()
    message = world.event(POST, happened=False, size=5, etag=made.etag)

    world.tell(message)

    assert world.events() == [("put", made.version_id, POST)]
    assert world.state() == "stored"
    world.assert_true()


def test_a_put_that_was_refused_is_not_recorded(world: World) -> None:
    world.tell(world.event(PUT, happened=False, size=5, etag="5d41402abc4b2a76b9719d911017c592"))
    assert world.events() == []
    assert world.state() is None

    made = world.put(b"there")
    world.tell(world.event(PUT, size=5, etag=made.etag, version_id=made.version_id))
    world.tell(world.event(PUT, happened=False, size=5, etag="5d41402abc4b2a76b9719d911017c592"))
    assert world.events() == [("put", made.version_id, PUT)]
    world.assert_true()


def test_a_put_of_the_same_bytes_that_was_refused_is_not_recorded(world: World) -> None:
    """As when a client that got no answer sends it once more, with ``If-None-Match: *``."""
    made = world.put()
    world.tell(world.event(PUT, size=5, etag=made.etag, version_id=made.version_id))
    world.tell(world.event(PUT, happened=False, size=5, etag=made.etag))
    assert world.events() == [("put", made.version_id, PUT)]


@pytest.mark.parametrize("together", [False, True], ids=["one after the other", "in one batch"])
def test_duplicates_of_a_checked_event_are_recorded_once(world: World, together: bool) -> None:
    made = world.put()
    message = world.event(POST, happened=False, size=5, etag=made.etag)
    for batch in [[message] * 3] if together else [[message]] * 3:
        world.tell(*batch)
    assert world.events() == [("put", made.version_id, POST)]


def test_a_copy_that_names_no_version_is_recorded_with_its_own(versioned: World) -> None:
    first = versioned.put(b"one")
    second = versioned.put(b"two!")
    copied, put = versioned.event(COPY, size=4, etag=second.etag), versioned.event(PUT, size=3, etag=first.etag)
    versioned.tell(copied, put, copied)
    assert versioned.events() == [("put", first.version_id, PUT), ("put", second.version_id, COPY)]
    versioned.assert_true()


def test_a_delete_marker_without_its_version_is_recorded_with_it(versioned: World) -> None:
    made = versioned.put()
    versioned.tell(versioned.event(PUT, size=5, etag=made.etag, version_id=made.version_id))
    versioned.delete()
    message = versioned.event(MARKER)

    versioned.tell(message)
    versioned.tell(message)

    marker = versioned.newest
    assert marker.is_marker
    assert versioned.events() == [("put", made.version_id, PUT), ("marker", marker.version_id, MARKER)]
    assert versioned.state() == "deleted"
    versioned.assert_true()


def test_a_deletion_on_top_of_a_delete_marker_records_nothing_more(versioned: World) -> None:
    made = versioned.put()
    versioned.delete()
    marker = versioned.newest
    versioned.tell(
        versioned.event(PUT, size=5, etag=made.etag, version_id=made.version_id),
        versioned.event(MARKER, version_id=marker.version_id),
    )
    before = versioned.events()

    versioned.tell(versioned.event(MARKER))

    assert versioned.events() == before
    versioned.assert_true()


def test_the_removal_of_a_version_without_its_id_is_recorded(versioned: World) -> None:
    first = versioned.put(b"one")
    second = versioned.put(b"two!")
    for made in (first, second):
        versioned.tell(versioned.event(PUT, size=made.size or 0, etag=made.etag, version_id=made.version_id))
    versioned.delete(VersionId=second.version_id)
    message = versioned.event(DELETE)

    versioned.tell(message)
    versioned.tell(message)

    assert versioned.events() == [
        ("put", first.version_id, PUT),
        ("put", second.version_id, PUT),
        ("removal", second.version_id, DELETE),
    ]
    versioned.assert_true()


def test_what_a_lifecycle_rule_did_is_recorded_as_s3_shows_it(versioned: World) -> None:
    """The notification names the version that expired, and in fact a delete marker hides it."""
    made = versioned.put()
    versioned.tell(versioned.event(PUT, size=5, etag=made.etag, version_id=made.version_id))
    versioned.delete()
    versioned.tell(versioned.event("ObjectLifecycle:Expiration:Current", version_id=made.version_id))
    assert versioned.state() == "deleted"
    versioned.assert_true()


def test_without_versions_puts_and_deletions_count_in_their_order(plain: World) -> None:
    messages = []
    for content in (b"one", b"two!", b"three"):
        made = plain.put(content)
        messages.append(plain.event(PUT, size=len(content), etag=made.etag))
        plain.delete()
        messages.append(plain.event(DELETE))
    made = plain.put(b"last one")
    messages.append(plain.event(PUT, size=8, etag=made.etag))

    plain.tell(*messages[::-1])

    assert [kind for kind, _, _ in plain.events()] == ["put", "removal"] * 3 + ["put"]
    plain.assert_true()


def test_each_message_of_a_held_key_comes_again_with_what_it_says(
    plain: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only the first of them brought what all say, what the others say would be lost with them."""
    monkeypatch.setattr(recording, "LOCK_TIMEOUT_MS", 300)
    plain.put()
    put = plain.event(PUT, etag="e", size=1)
    plain.delete()
    deleted = plain.event(DELETE)
    with plain.engine.connect() as stuck:
        lock_keys(Session(stuck), [(plain.bucket, plain.key)])
        failed = app.ingest(sqs_event(put, deleted), CONTEXT)["batchItemFailures"]
    assert failed == [{"itemIdentifier": "m0"}, {"itemIdentifier": "m1"}]

    plain.tell(put)
    assert plain.state() == "stored"
    plain.tell(deleted)
    assert plain.state() == "deleted"


def test_a_form_and_what_followed_it_are_recorded_in_any_order(plain: World) -> None:
    posted = plain.put(b"posted")
    form = plain.event(POST, happened=False, size=6, etag=posted.etag)
    plain.delete()
    deletion = plain.event(DELETE)
    made = plain.put(b"put later")
    put = plain.event(PUT, size=9, etag=made.etag)

    plain.tell(put, form)
    plain.tell(deletion, form)

    assert plain.state() == "stored"
    plain.assert_true()


def test_a_form_over_another_object_ranks_above_it(plain: World) -> None:
    first = plain.put(b"first")
    put = plain.event(PUT, size=5, etag=first.etag)
    posted = plain.put(b"posted")
    form = plain.event(POST, happened=False, size=6, etag=posted.etag)

    plain.tell(form)
    plain.tell(put)

    plain.assert_true()
    assert plain.events()[-1] == ("put", "", POST)


def test_another_site_tells_of_what_s3_then_shows(world: World) -> None:
    made = world.put()
    world.tell(world.event("ObjectSynced:Create", size=5, etag=made.etag))
    assert [kind for kind, _, _ in world.events()] == ["put"]
    world.assert_true()


# --- what Landfall does itself


def test_what_landfall_put_becomes_one_event_when_it_is_told_of(world: World) -> None:
    stored = world.store.put(world.bucket, world.key, b"hello", "text/plain")
    world.record(lambda before: observe_put(world.bucket, world.key, stored, "text/plain"))
    assert world.events() == []

    message = world.event(PUT, size=5, etag=stored.etag, version_id=stored.version_id)
    world.tell(message)
    world.tell(message)

    assert world.events() == [("put", stored.version_id, PUT)]
    world.assert_true()


@pytest.mark.parametrize("names_version", [False, True], ids=["without its version", "with its version"])
def test_what_landfall_copied_becomes_one_event_when_it_is_told_of(versioned: World, names_version: bool) -> None:
    """As a restore does it."""
    old = versioned.put(b"old")
    new = versioned.put(b"newer")
    for made in (old, new):
        versioned.tell(versioned.event(PUT, size=made.size or 0, etag=made.etag, version_id=made.version_id))
    source = Source(versioned.bucket, versioned.key, old.version_id, old.etag, 3)
    copied = versioned.store.copier.copy(source, versioned.bucket, versioned.key, over=Over(new.etag))
    head = versioned.store.head(versioned.bucket, versioned.key)
    versioned.record(lambda before: observe_head(versioned.bucket, versioned.key, head, runtime.now(), before))

    told = {"version_id": copied.version_id} if names_version else {}
    message = versioned.event(COPY, size=3, etag=old.etag, **told)
    versioned.tell(message)
    versioned.tell(message)

    assert sorted(versioned.events()) == sorted(
        [("put", old.version_id, PUT), ("put", new.version_id, PUT), ("put", copied.version_id, COPY)]
    )
    versioned.assert_true()


@pytest.mark.parametrize("names_version", [False, True], ids=["without its version", "with its version"])
def test_what_landfall_deleted_becomes_one_event_when_it_is_told_of(versioned: World, names_version: bool) -> None:
    made = versioned.put()
    versioned.tell(versioned.event(PUT, size=5, etag=made.etag, version_id=made.version_id))
    deletion = versioned.store.deleter.delete_if(versioned.bucket, versioned.key, made.etag)
    versioned.record(lambda before: observe_deletion(versioned.bucket, versioned.key, before, deletion))
    assert len(versioned.events()) == 1

    message = versioned.event(MARKER, **({"version_id": deletion.version_id} if names_version else {}))
    versioned.tell(message)
    versioned.tell(message)

    assert versioned.events() == [("put", made.version_id, PUT), ("marker", deletion.version_id, MARKER)]
    versioned.assert_true()


def test_a_version_that_landfall_removed_becomes_one_event_when_it_is_told_of(versioned: World) -> None:
    made = versioned.put()
    versioned.tell(versioned.event(PUT, size=5, etag=made.etag, version_id=made.version_id))
    deletion = versioned.store.deleter.delete(versioned.bucket, versioned.key, made.version_id)
    versioned.record(
        lambda before: observe_removal(versioned.bucket, versioned.key, made.version_id, before.rank, deletion)
    )
    message = versioned.event(DELETE)
    versioned.tell(message)
    versioned.tell(message)

    assert sorted(versioned.events()) == [("put", made.version_id, PUT), ("removal", made.version_id, DELETE)]
    versioned.assert_true()


# --- S3 does not answer


def test_without_s3_only_doubtful_events_come_again(
    versioned: World, process: Callable[..., None], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
    made = versioned.put()
    doubtful = versioned.event(POST, happened=False, size=5, etag=made.etag)
    keys = [f"{versioned.key}{number}" for number in range(3)]
    believed = [
        body(ceph_record(PUT, key, bucket=versioned.bucket, version_id=f"v-{key[-1]}", time=datetime.now(UTC)))
        for key in keys
    ]
    mixed = '{"Records": [' + ",".join(message[len('{"Records": [') : -2] for message in (believed[2], doubtful)) + "]}"
    messages = sqs_event(believed[0], doubtful, believed[1], mixed)

    process(AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert app.ingest(messages, CONTEXT) == {"batchItemFailures": [{"itemIdentifier": n} for n in ("m1", "m3")]}
    known = {entry[0] for entry in listed_by_catalogue(versioned.engine, versioned.bucket)}
    assert known & {versioned.key, *keys} == set(keys[:2])

    process(AWS_ENDPOINT_URL=server.url)
    assert app.ingest(messages, CONTEXT) == {"batchItemFailures": []}
    assert versioned.events() == [("put", made.version_id, POST)]
    known = {entry[0] for entry in listed_by_catalogue(versioned.engine, versioned.bucket)}
    assert set(keys) <= known


def test_a_bucket_that_is_gone_holds_up_no_others(world: World) -> None:
    """Its last events come again until they are dead."""
    made = world.put()
    gone = body(ceph_record(POST, world.key, bucket="landfall-test-gone", size=5, etag=made.etag))
    also_gone = body(ceph_record(DELETE, world.key, bucket="landfall-test-gone", time=datetime.now(UTC)))
    here = world.event(POST, happened=False, size=5, etag=made.etag)

    answer = app.ingest(sqs_event(gone, here, also_gone), CONTEXT)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}, {"itemIdentifier": "m2"}]}
    assert world.events() == [("put", made.version_id, POST)]
