"""What Ceph sends: keys as they are, sequencers that sort once they are read, and events that can't be believed as they are."""

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.catalog.changes import CheckRequest, Kind, ObjectChange
from chalicelib.catalog.notifications import Event, parse_message
from chalicelib.errors import MalformedNotification
from tests.support.notifications import body

FIXTURES = Path(__file__).parent.parent / "fixtures" / "events"
SEQUENCERS: dict[str, list[str]] = json.loads((FIXTURES / "ceph-sequencers.json").read_text())


def only(name: str) -> Event:
    (event,) = parse_message((FIXTURES / f"{name}.json").read_text())
    return event


def checked(name: str) -> CheckRequest:
    event = only(name)
    assert isinstance(event, CheckRequest)
    return event


def told(event: Event) -> ObjectChange:
    """What the notification says, whether it is believed or not."""
    change = event.told if isinstance(event, CheckRequest) else event
    assert isinstance(change, ObjectChange)
    return change


def altered(**changes: Any) -> Event:
    """The put of a versioned bucket, but for these fields of its record or object; None leaves one out."""
    (event,) = parse_altered(**changes)
    return event


def parse_altered(**changes: Any) -> list[Event]:
    record = deepcopy(json.loads((FIXTURES / "ceph18-versioned/01-put.json").read_text())["Records"][0])
    for name, value in changes.items():
        where = record if name.startswith("event") else record["s3"]["object"]
        where[name] = value
        if value is None:
            del where[name]
    return parse_message(body(record))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("06-key-plus", "q1+q2.txt"),
        ("07-key-percent", "100%.txt"),
        ("08-key-percent-escape", "com%20ma%2F.txt"),
        ("10-key-unicode", "é/日本語 🎉.txt"),
    ],
)
def test_a_key_is_taken_as_it_is(name: str, key: str) -> None:
    assert told(only(f"ceph18-plain/{name}")).key == key


def test_a_versioned_key_is_taken_as_it_is_too() -> None:
    assert told(only("ceph18-versioned/08-key-percent-escape")).key == "com%20ma%2F.txt"


@pytest.mark.parametrize("folder", SEQUENCERS)
def test_sequencers_sort_as_things_were_done_once_they_are_read(folder: str) -> None:
    raw = SEQUENCERS[folder]
    ranks = [told(altered(sequencer=text)).rank for text in raw]

    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)
    assert raw != sorted(raw)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2038, 1, 1), timezones=st.just(UTC)),
    st.integers(1, 10**9),
)
def test_the_sequencer_of_a_moment_is_where_ceph_would_put_it(moment: datetime, later_by: int) -> None:
    """Later by microseconds, at which Landfall's clock and Ceph's agree."""
    later = moment + timedelta(microseconds=later_by)
    seconds, nanoseconds = int(later.timestamp()), later.microsecond * 1000
    sent = (seconds.to_bytes(4, "little") + nanoseconds.to_bytes(4, "little")).hex().upper()

    event = altered(sequencer=sent, versionId="")
    assert isinstance(event, CheckRequest)
    assert event.told.sequencer == event.sequencer_at(later)
    assert event.sequencer_at(moment) < event.told.sequencer


def test_a_put_with_its_version_is_believed() -> None:
    for release in (16, 18):
        change = only(f"ceph{release}-versioned/01-put")
        assert isinstance(change, ObjectChange)
        assert (change.kind, change.size, change.etag) == (Kind.PUT, 5, "5d41402abc4b2a76b9719d911017c592")
        assert len(change.version_id) == 31


def test_a_delete_marker_with_its_version_is_believed_and_so_is_its_removal() -> None:
    marker, removal = only("ceph18-versioned/26-delete"), only("ceph18-versioned/35-marker-removed-undelete")
    assert isinstance(marker, ObjectChange)
    assert isinstance(removal, ObjectChange)
    assert (marker.kind, removal.kind) == (Kind.MARKER, Kind.REMOVAL)
    assert marker.version_id
    assert removal.version_id


@pytest.mark.parametrize("name", ["ceph16-plain", "ceph18-plain"])
def test_a_put_that_was_refused_never_counts_as_it_is(name: str) -> None:
    request = checked(f"{name}/25-put-if-none-match-refused")
    assert not request.holds_without_versions
    assert request.told.event_time is None


@pytest.mark.parametrize("name", ["ceph18-plain", "ceph18-versioned"])
def test_a_form_looks_like_a_put_that_was_refused(name: str) -> None:
    request = checked(f"{name}/20-post-form")
    assert not request.holds_without_versions
    assert (request.told.event_name, request.told.key) == ("ObjectCreated:Post", "posted é.txt")


@pytest.mark.parametrize("name", ["01-put", "06-key-plus", "26-delete"])
def test_without_versions_what_has_happened_holds(name: str) -> None:
    request = checked(f"ceph18-plain/{name}")
    assert request.holds_without_versions
    assert request.told.version_id == ""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ceph16-versioned/16-multipart", Kind.PUT),
        ("ceph16-versioned/18-copy", Kind.PUT),
        ("ceph18-versioned/27-delete-again", Kind.MARKER),
        ("ceph18-versioned/29-bulk-delete-2", Kind.MARKER),
        ("ceph18-versioned/37-bulk-version-delete-1", Kind.REMOVAL),
        ("ceph18-versioned/39-suspended-put", Kind.PUT),
        ("ceph18-versioned/41-suspended-delete", Kind.REMOVAL),
    ],
)
def test_what_names_no_version_is_asked_for(name: str, kind: Kind) -> None:
    request = checked(name)
    assert (request.told.kind, request.told.version_id) == (kind, "")


@pytest.mark.parametrize("name", ["ceph18-versioned/16-multipart", "ceph18-versioned/18-copy"])
def test_ceph_18_names_the_versions_of_copies_and_of_uploads_in_parts(name: str) -> None:
    assert isinstance(only(name), ObjectChange)


def test_the_null_version_is_asked_for() -> None:
    event = altered(versionId="null")
    assert isinstance(event, CheckRequest)
    assert (event.told.version_id, event.holds_without_versions) == ("", True)


def test_a_lifecycle_rule_is_asked_for_whatever_version_it_names() -> None:
    request = checked("ceph18-plain/31-lifecycle-expiration")
    assert (request.told.kind, request.holds_without_versions) == (Kind.REMOVAL, True)
    for rule in ("Current", "Noncurrent", "DeleteMarker"):
        event = altered(eventName=f"ObjectLifecycle:Expiration:{rule}")
        assert isinstance(event, CheckRequest)
        assert event.told.kind is Kind.REMOVAL


def test_an_upload_that_a_rule_aborts_concerns_no_object() -> None:
    assert parse_altered(eventName="ObjectLifecycle:Expiration:AbortMultipartUpload") == []


@pytest.mark.parametrize(
    ("name", "kind"), [("Create", Kind.PUT), ("Delete", Kind.REMOVAL), ("DeletionMarkerCreated", Kind.REMOVAL)]
)
def test_what_comes_from_another_site_is_always_asked_for(name: str, kind: Kind) -> None:
    event = altered(eventName=f"ObjectSynced:{name}")
    assert isinstance(event, CheckRequest)
    assert (event.told.kind, event.holds_without_versions) == (kind, False)


@pytest.mark.parametrize("sequencer", [None, "", "5B", "B25C056B5D080C", "B25C056B5D080C1BFF", "0" * 64])
def test_a_sequencer_of_another_length_is_taken_as_it_is(sequencer: str | None) -> None:
    assert told(altered(sequencer=sequencer)).sequencer == (sequencer or "")


@pytest.mark.parametrize("sequencer", ["Z25C056B5D080C1B", "B25C056B 5D080C1", 5, ["B25C056B5D080C1B"], "0" * 65, "é"])
def test_a_sequencer_that_is_no_number_is_refused(sequencer: object) -> None:
    with pytest.raises(MalformedNotification, match="sequencer"):
        altered(sequencer=sequencer)


@pytest.mark.parametrize("key", ["", "a\x00b", "\ud800", "k" * 1025, 7])
def test_a_key_that_no_catalogue_can_hold_is_refused(key: object) -> None:
    with pytest.raises(MalformedNotification):
        altered(key=key)


@pytest.mark.parametrize("time", ["0.000000", None, "", 17, "yesterday"])
def test_without_a_time_nothing_is_believed(time: object) -> None:
    event = altered(eventTime=time)
    assert isinstance(event, CheckRequest)
    assert not event.holds_without_versions
