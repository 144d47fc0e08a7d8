"""Recording one change after another: what each does to its file, and what it reports."""

from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, text

from chalicelib.catalog.changes import Kind, ObjectChange, rank, rank_after
from chalicelib.catalog.keys import upload_key
from chalicelib.catalog.notifications import parse_message
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.models import File
from chalicelib.db.recording import record_changes
from chalicelib.ids import uuid7
from tests.support.notifications import NOON, body, s3_record
from tests.support.recording import deliver

_names = count()


@pytest.fixture(scope="module")
def engine(database_url: str) -> Engine:
    return create_catalog_engine(database_url)


@pytest.fixture
def bucket() -> str:
    return f"recording-{next(_names)}"


class Catalogue:
    """One key of one bucket: tell it of events, ask what the catalogue holds."""

    def __init__(self, engine: Engine, bucket: str, key: str = "k") -> None:
        self.engine, self.bucket, self.key = engine, bucket, key

    def hears(self, event: str, sequencer: str | None, **fields: Any) -> str:
        """Record one event; returns its outcome."""
        return self.hears_all(s3_record(event, self.key, bucket=self.bucket, sequencer=sequencer, **fields))[0]

    def hears_all(self, *records: dict[str, Any]) -> list[str]:
        return deliver(self.engine, *records)

    def file(self) -> Any:
        with transaction(self.engine) as session:
            query = text("SELECT * FROM files WHERE bucket = :bucket AND key = :key")
            return session.execute(query, {"bucket": self.bucket, "key": self.key}).one_or_none()


@pytest.fixture
def key(engine: Engine, bucket: str) -> Catalogue:
    return Catalogue(engine, bucket)


PUT, DELETE, MARKER = "ObjectCreated:Put", "ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated"


def test_one_batch_tells_of_each_change_what_it_did(engine: Engine, bucket: str) -> None:
    known = s3_record(PUT, "known", bucket=bucket, sequencer="02", size=1)
    deliver(engine, known)
    records = [
        s3_record(MARKER, "hidden from the first", bucket=bucket, sequencer="01", version_id="m"),
        s3_record(PUT, "new", bucket=bucket, sequencer="01", size=1),
        known,
        s3_record(PUT, "known", bucket=bucket, sequencer="01", size=2),
        s3_record(PUT, "known", bucket=bucket, sequencer="03", size=3),
        s3_record(DELETE, "never seen", bucket=bucket, sequencer="01"),
        s3_record(PUT, "new too", bucket=bucket, sequencer="01", size=1),
    ]
    changes = [
        change for record in records for change in parse_message(body(record)) if isinstance(change, ObjectChange)
    ]
    with transaction(engine) as session:
        recorded = record_changes(session, changes, NOON)
        ids = dict(session.execute(text("SELECT key, id::text FROM files WHERE bucket = :b"), {"b": bucket}).all())

    outcomes = ["deleted", "created", "duplicate", "stale", "updated", "deleted", "created"]
    assert [item.outcome for item in recorded] == outcomes
    assert [item.file_id for item in recorded] == [ids.get(change.key) for change in changes]
    assert set(ids) == {"new", "new too", "known"}, "a key that never held an object has no file"


def test_a_put_creates_an_overwrite_updates_a_delete_leaves_a_tombstone(key: Catalogue) -> None:
    assert key.hears(PUT, "01", size=5, etag="e1") == "created"

    created = key.file()
    assert (created.state, created.size, created.etag, created.name) == ("stored", 5, "e1", "k")
    assert key.hears(PUT, "02", size=6, etag="e2") == "updated"
    assert key.hears(DELETE, "03") == "deleted"

    tombstone = key.file()
    assert (tombstone.id, tombstone.state, tombstone.version_id, tombstone.size) == (created.id, "deleted", None, None)


def test_the_same_event_again_is_a_duplicate_and_changes_nothing(key: Catalogue) -> None:
    key.hears(PUT, "01", size=5, etag="e1")
    before = key.file()

    assert key.hears(PUT, "01", size=5, etag="e1") == "duplicate"
    assert key.file() == before


def test_an_older_put_is_stale(key: Catalogue) -> None:
    key.hears(PUT, "02", size=6, etag="e2")
    assert key.hears(PUT, "01", size=5, etag="e1") == "stale"
    assert key.file().size == 6


def test_late_create_does_not_resurrect_a_deleted_file(key: Catalogue) -> None:
    assert key.hears(DELETE, "02") == "deleted"
    assert key.file() is None
    assert key.hears(PUT, "01", size=5, etag="e1") == "updated"
    assert key.file().state == "deleted"


def test_a_removal_or_a_delete_marker_alone_makes_no_file(key: Catalogue) -> None:
    key.hears(DELETE, "01")
    key.hears(MARKER, "02", version_id="m")
    assert key.file() is None


def test_removing_the_delete_marker_restores_the_file(key: Catalogue) -> None:
    key.hears(PUT, "01", version_id="v1", size=5, etag="e1")
    assert key.hears(MARKER, "02", version_id="m") == "deleted"
    assert key.hears(DELETE, "03", version_id="m") == "updated"
    assert (key.file().state, key.file().version_id) == ("stored", "v1")


def test_removing_the_current_version_makes_the_previous_one_current(key: Catalogue) -> None:
    key.hears(PUT, "01", version_id="v1", size=5, etag="e1")
    key.hears(PUT, "02", version_id="v2", size=6, etag="e2")

    assert key.hears(DELETE, "03", version_id="v2") == "updated"
    assert (key.file().version_id, key.file().size) == ("v1", 5)


def test_a_put_after_a_delete_stores_the_same_file_again(key: Catalogue) -> None:
    key.hears(PUT, "01", size=5, etag="e1")
    key.hears(DELETE, "02")
    identifier = key.file().id

    assert key.hears(PUT, "03", size=7, etag="e3") == "created"
    assert (key.file().id, key.file().state, key.file().size) == (identifier, "stored", 7)


def test_several_events_of_one_key_in_one_batch_are_merged(key: Catalogue) -> None:
    records = [
        s3_record(event, "k", bucket=key.bucket, sequencer=sequencer, size=size, etag=etag)
        for event, sequencer, size, etag in [(PUT, "02", 6, "e2"), (PUT, "01", 5, "e1"), (DELETE, "03", None, None)]
    ]
    assert key.hears_all(*records, records[0]) == ["updated", "stale", "deleted"]
    assert key.file().state == "deleted"


def test_a_pending_upload_is_found_by_its_key_and_keeps_id_and_name(engine: Engine, bucket: str) -> None:
    identifier = uuid7(NOON)
    object_key = upload_key(uuid7(NOON), identifier, "Bericht.pdf")
    with transaction(engine) as session:
        session.add(
            File(
                id=identifier,
                bucket=bucket,
                key=object_key,
                name="Übersicht.pdf",
                state="pending",
                created_at=NOON,
                updated_at=NOON,
            )
        )

    waiting = Catalogue(engine, bucket, object_key)
    assert waiting.hears(DELETE, "00A") == "deleted"
    assert waiting.file().state == "pending", "nothing was uploaded yet, so nothing was deleted"
    assert waiting.hears(PUT, "01", size=5, etag="e1") == "created"
    assert (waiting.file().id, waiting.file().name, waiting.file().state) == (identifier, "Übersicht.pdf", "stored")


def observed(bucket: str, kind: Kind, rank: str, **fields: Any) -> ObjectChange:
    fields = {"version_id": "", "key": "k"} | fields
    return ObjectChange(kind=kind, bucket=bucket, rank=rank, event_name="observed", is_observation=True, **fields)


def test_an_observed_put_and_its_event_are_recorded_once(key: Catalogue, engine: Engine) -> None:
    with transaction(engine) as session:
        put = observed(
            key.bucket, Kind.PUT, rank_after(""), version_id="v1", size=5, etag="e1", media_type="text/plain"
        )
        record_changes(session, [put], NOON)

    seen = key.file()
    assert (seen.state, seen.size, seen.media_type) == ("stored", 5, "text/plain")
    assert key.hears(PUT, "01", version_id="v1", size=5, etag="e1") == "updated"

    known = key.file()
    assert (known.id, known.version_id, known.media_type) == (seen.id, "v1", "text/plain")


def test_an_observed_deletion_counts_at_once_and_its_event_changes_nothing(key: Catalogue, engine: Engine) -> None:
    key.hears(PUT, "01", version_id="v1", size=5, etag="e1")
    with transaction(engine) as session:
        marker = observed(key.bucket, Kind.MARKER, rank_after(key.file().rank), version_id="m")
        record_changes(session, [marker], NOON)

    assert key.file().state == "deleted"
    assert key.hears(MARKER, "02", version_id="m") == "deleted"
    assert key.hears(PUT, "03", version_id="v2", size=5, etag="e1") == "created"


def test_a_deletion_right_after_the_upload_stays_in_any_order_of_events(key: Catalogue, engine: Engine) -> None:
    with transaction(engine) as session:
        put = observed(key.bucket, Kind.PUT, rank("", NOON, Kind.PUT, "e1", 5), version_id="v1", size=5, etag="e1")
        record_changes(session, [put], NOON)
    with transaction(engine) as session:
        marker = observed(key.bucket, Kind.MARKER, rank_after(key.file().rank), version_id="m", follows="v1")
        record_changes(session, [marker], NOON)

    assert key.file().state == "deleted"

    key.hears(PUT, "01", version_id="v1", size=5, etag="e1")
    assert key.file().state == "deleted", "the upload's own event must not bring it back"

    key.hears(DELETE, "03", version_id="m")
    assert key.file().state == "stored", "somebody removed our marker"

    key.hears(MARKER, "02", version_id="m")
    assert key.file().state == "stored"

    key.hears(PUT, "04", version_id="v2", size=6, etag="e2")
    assert (key.file().state, key.file().version_id) == ("stored", "v2")


def test_keys_are_compared_byte_by_byte(engine: Engine, bucket: str) -> None:
    keys = ["a", "A", "ä", "a\u0308", "a ", "k/", "k", "%2F"]
    for name in keys:
        assert Catalogue(engine, bucket, name).hears(PUT, "01", size=len(name), etag="e") == "created"
    assert all(Catalogue(engine, bucket, name).file().size == len(name) for name in keys)


def test_the_longest_key_version_and_rank_fit_the_indexes(engine: Engine, bucket: str) -> None:
    longest = Catalogue(engine, bucket, "🎉" * 256)
    # Random-looking text, because repetitive text would be compressed and prove nothing.
    noise = "".join(chr(33 + (number * 7919 + number * number) % 93) for number in range(1024)).replace('"', "'")
    assert longest.hears(PUT, "0F" * 32, version_id=noise, size=1, etag=noise[:250]) == "created"


def test_an_event_without_a_time_is_recorded_once(key: Catalogue) -> None:
    assert key.hears(PUT, "01", size=1, etag="e", time=None) == "created"
    assert key.hears(PUT, "01", size=1, etag="e", time=None) == "duplicate"


def test_events_of_any_month_are_kept(key: Catalogue) -> None:
    for number, days in enumerate((-9000, -365, 0, 365, 9000)):
        assert key.hears(PUT, f"{number + 1:02}", size=1, etag="e", time=NOON + timedelta(days=days)) != "duplicate"
