"""Copies, completions and puts replace what they may and nothing else, whether the store honours conditions or not.

One case is left out, as with deletions: a bucket without versions, on a store that ignores the condition, and an object
that comes in the milliseconds between our look and our request.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.catalog.objects import NOTHING, Copied, Over, Part, Source
from chalicelib.catalog.parts import MIB
from chalicelib.errors import NotFound, PreconditionFailed, StoreUnavailable
from chalicelib.store import copying_in_parts
from tests.support.object_stores import Place, just_before

# Copied in one request, and in parts, of which one is enough here.
SMALL, LARGE = b"source", b"s" * 2000


class Copying:
    """Makes a copy, in one request or in parts."""

    def __init__(self, place: Place, in_parts: bool) -> None:
        self.place, self.in_parts = place, in_parts
        self.body = LARGE if in_parts else SMALL

    @property
    def request(self) -> str:
        """The request that makes the copy."""
        return "CompleteMultipartUpload" if self.in_parts else "CopyObject"

    @property
    def is_honoured(self) -> bool:
        found = self.place.guarantees
        return found.conditional_completion if self.in_parts else found.conditional_copy

    @property
    def is_safe(self) -> bool:
        """Whether an object is safe that comes to the destination right before the copy.

        In parts, an object that comes to a versioned bucket is an earlier version then, and the copy is taken back.
        """
        return self.place.is_versioned or self.is_honoured

    def new_source(self) -> Source:
        key = self.place.new_key()
        etag = self.place.put(key, self.body)
        return Source(self.place.bucket, key, self.place.newest(key).version_id, etag, len(self.body))

    def copy(self, source: Source, key: str, over: Over | None = None) -> Copied:
        return self.place.store.copier.copy(source, self.place.bucket, key, over=over)

    def just_before(self, action: Callable[[], object], request: str = "") -> AbstractContextManager[None]:
        return just_before(self.place.client, request or self.request, action)


@pytest.fixture(params=[False, True], ids=["whole", "in parts"])
def make(request: pytest.FixtureRequest, place: Place, monkeypatch: pytest.MonkeyPatch) -> Copying:
    monkeypatch.setattr(copying_in_parts, "_PART_BYTES", 1000)
    monkeypatch.setattr(copying_in_parts, "part_size", lambda size: 5 * MIB)
    return Copying(place, request.param)


@pytest.fixture(scope="session")
def sources() -> dict[tuple[str, bool], Source]:
    """Objects that stay as they are, by bucket, and whether they are large."""
    return {}


@pytest.fixture
def source(make: Copying, sources: dict[tuple[str, bool], Source]) -> Source:
    """An object to copy, made once for each bucket."""
    known = sources.get((make.place.bucket, make.in_parts))
    return known or sources.setdefault((make.place.bucket, make.in_parts), make.new_source())


@pytest.fixture
def mutable(make: Copying) -> Source:
    """An object to copy that the test will change."""
    return make.new_source()


@pytest.fixture
def without_source_conditions(make: Copying) -> Iterator[None]:
    """Where nothing is trusted, nothing arrives of a condition on the source, as if the store ignored it, like Ceph 16."""

    def leave_out(params: dict[str, Any], **_: Any) -> None:
        params.pop("CopySourceIfMatch", None)

    events = make.place.client.meta.events
    names = [f"provide-client-params.s3.{name}" for name in ("CopyObject", "UploadPartCopy")]
    if make.place.guarantees is NOTHING:
        for name in names:
            events.register(name, leave_out)
    yield
    for name in names:
        events.unregister(name, leave_out)


def test_a_copy_is_made_where_nothing_is_and_its_version_is_known(make: Copying, source: Source) -> None:
    key = make.place.new_key()

    copied = make.copy(source, key, Over())

    newest = make.place.newest(key)
    assert (copied.version_id, copied.etag) == (newest.version_id, newest.etag)
    assert bool(copied.version_id) is make.place.is_versioned
    assert make.place.read(key) == make.body


def test_a_copy_is_made_over_a_delete_marker(make: Copying, source: Source) -> None:
    key = make.place.new_key()
    make.place.put(key)
    make.place.delete(key)

    copied = make.copy(source, key, Over())

    assert make.place.read(key) == make.body
    assert copied.version_id == make.place.newest(key).version_id


def test_a_copy_replaces_the_object_that_it_may_replace(make: Copying, source: Source) -> None:
    key = make.place.new_key()
    etag = make.place.put(key, b"old")

    copied = make.copy(source, key, Over(etag))

    assert make.place.read(key) == make.body
    assert copied.version_id == make.place.newest(key).version_id


@pytest.mark.parametrize("over", [Over(), Over("5d41402abc4b2a76b9719d911017c592")], ids=["nothing", "an object"])
def test_another_object_at_the_destination_stays(make: Copying, source: Source, over: Over) -> None:
    key = make.place.new_key()
    etag = make.place.put(key, b"another")

    with pytest.raises(PreconditionFailed):
        make.copy(source, key, over)

    assert make.place.read(key) == b"another"
    assert make.place.history(key) == [(etag, False)]


def test_a_copy_over_an_object_that_is_gone_is_not_made(make: Copying, source: Source) -> None:
    key = make.place.new_key()
    etag = make.place.put(key)
    make.place.delete(key)

    with pytest.raises((NotFound, PreconditionFailed)):
        make.copy(source, key, Over(etag))
    assert make.place.read(key) is None


def test_an_object_that_comes_right_before_the_copy_to_an_empty_place_stays_current(
    make: Copying, source: Source
) -> None:
    key = make.place.new_key()
    if not make.is_safe:
        return

    with make.just_before(lambda: make.place.put(key, b"another")), pytest.raises(PreconditionFailed):
        make.copy(source, key, Over())

    assert make.place.read(key) == b"another"
    assert len(make.place.history(key)) == 1


def test_an_object_that_comes_right_before_the_copy_over_another_stays_current(make: Copying, source: Source) -> None:
    key = make.place.new_key()
    etag = make.place.put(key, b"old")
    if not make.is_safe:
        return

    with make.just_before(lambda: make.place.put(key, b"another")), pytest.raises(PreconditionFailed):
        make.copy(source, key, Over(etag))

    assert make.place.read(key) == b"another"


def test_the_same_bytes_that_come_right_before_the_copy_stay_too(make: Copying, source: Source) -> None:
    """Ceph doesn't tell a copy's version, and the ETags are no help then."""
    if make.in_parts or not make.is_safe:
        return  # what comes as a whole has another ETag than a copy in parts
    key = make.place.new_key()

    with make.just_before(lambda: make.place.put(key, make.body)), pytest.raises(PreconditionFailed):
        make.copy(source, key, Over())

    assert make.place.read(key) == make.body
    assert len(make.place.history(key)) == 1


def test_the_same_bytes_that_come_right_after_the_copy_are_not_taken_for_it(
    make: Copying, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    if make.in_parts or not make.place.is_versioned:
        return
    key = make.place.new_key()
    versions = make.place.store.versions
    of_key = versions.of_key

    def put_first(bucket: str, listed: str) -> object:
        make.place.put(key, make.body)
        return of_key(bucket, listed)

    if make.place.guarantees.conditional_copy:
        return  # it doesn't look

    monkeypatch.setattr(versions, "of_key", put_first)
    copied = make.copy(source, key, Over())
    monkeypatch.undo()

    ours, theirs = versions.of_key(make.place.bucket, key)
    assert copied.version_id == ours.version_id != theirs.version_id


def test_an_unconditional_copy_replaces_anything(make: Copying, source: Source) -> None:
    key = make.place.new_key()
    make.place.put(key, b"old")
    copied = make.copy(source, key)
    assert make.place.read(key) == make.body
    assert copied.version_id == make.place.newest(key).version_id


@pytest.mark.usefixtures("without_source_conditions")
def test_a_version_that_was_named_is_copied_whatever_is_current(make: Copying, mutable: Source) -> None:
    """Without versions, another object is not copied, and replaces nothing."""
    key = make.place.new_key()
    make.place.put(mutable.key, b"another")
    if make.place.is_versioned:
        make.copy(mutable, key, Over())
        assert make.place.read(key) == make.body
    else:
        old = make.place.put(key, b"old")
        for source in (mutable, replace(mutable, version_id="null")):
            with pytest.raises(PreconditionFailed):
                make.copy(source, key, Over(old))
        assert make.place.read(key) == b"old"


@pytest.mark.usefixtures("without_source_conditions")
@pytest.mark.parametrize("then", ["stays", "is deleted"])
def test_a_source_that_changes_right_before_it_is_copied_leaves_no_copy(
    make: Copying, mutable: Source, then: str
) -> None:
    """Without versions. In parts, what comes could be mixed with what was there."""
    if make.place.is_versioned:
        return
    key, place = make.place.new_key(), make.place
    looks = []

    def delete_before_the_second_look(request: Any, **_: Any) -> None:
        if then == "is deleted" and mutable.key in request.url:
            looks.append(request)
            if len(looks) == 2:
                place.delete(mutable.key)

    request = "UploadPartCopy" if make.in_parts else "CopyObject"
    events = place.client.meta.events
    events.register("before-send.s3.HeadObject", delete_before_the_second_look)
    try:
        changing = make.just_before(lambda: place.put(mutable.key, b"o" * len(make.body)), request)
        with changing, pytest.raises((NotFound, PreconditionFailed)):
            make.copy(mutable, key, Over())
    finally:
        events.unregister("before-send.s3.HeadObject", delete_before_the_second_look)

    assert place.read(key) is None
    assert place.store.multipart.list_ids(place.bucket, key) == []


def test_an_object_is_copied_over_itself(make: Copying, mutable: Source) -> None:
    """As when an earlier version is restored. The copy must not be taken for a change of its source."""
    make.copy(mutable, mutable.key, Over(mutable.etag))
    assert make.place.read(mutable.key) == make.body


def test_a_missing_source_is_said_to_be_missing(make: Copying) -> None:
    key = make.place.new_key()
    missing = Source(make.place.bucket, f"{key}/none", "", "5d41402abc4b2a76b9719d911017c592", len(make.body))
    with pytest.raises(NotFound):
        make.copy(missing, key, Over())


@pytest.mark.usefixtures("without_source_conditions")
def test_a_copy_of_a_plain_object_over_a_version_is_taken_back_alone(make: Copying, place: Place) -> None:
    """What lay at the destination is current again, and no delete marker hides it."""
    if not place.is_versioned:
        return
    with place.server.bucket("plain") as bucket:
        etag = str(place.server.s3.put_object(Bucket=bucket, Key="source", Body=make.body)["ETag"]).strip('"')
        source = Source(bucket, "source", "", etag, len(make.body))
        key = place.new_key()
        old = place.put(key, b"old")

        def change() -> None:
            place.server.s3.put_object(Bucket=bucket, Key="source", Body=b"o" * len(make.body))

        request = "UploadPartCopy" if make.in_parts else "CopyObject"
        with make.just_before(change, request), pytest.raises(PreconditionFailed):
            make.copy(source, key, Over(old))

    assert place.history(key) == [(old, False)]


# --- completions and puts


def begin(place: Place, key: str) -> tuple[str, list[Part]]:
    """An upload in parts that is about to be completed."""
    multipart = place.store.multipart
    upload_id = multipart.create(place.bucket, key, "text/plain")
    return upload_id, [multipart.put_part(place.bucket, key, upload_id, 1, b"ours")]


def test_an_upload_is_completed_where_nothing_is(place: Place) -> None:
    key = place.new_key()
    upload_id, parts = begin(place, key)
    place.store.multipart.complete(place.bucket, key, upload_id, parts)
    assert place.read(key) == b"ours"


def test_an_upload_is_completed_over_a_delete_marker(place: Place) -> None:
    key = place.new_key()
    place.put(key)
    place.delete(key)
    upload_id, parts = begin(place, key)
    place.store.multipart.complete(place.bucket, key, upload_id, parts)
    assert place.read(key) == b"ours"


def test_an_upload_is_completed_over_the_object_that_it_may_replace(place: Place) -> None:
    key = place.new_key()
    etag = place.put(key)
    upload_id, parts = begin(place, key)
    place.store.multipart.complete(place.bucket, key, upload_id, parts, {"IfMatch": f'"{etag}"'})
    assert place.read(key) == b"ours"


@pytest.mark.parametrize(
    "condition", [{"IfNoneMatch": "*"}, {"IfMatch": '"5d41402abc4b2a76b9719d911017c592"'}], ids=["nothing", "an object"]
)
def test_an_upload_is_not_completed_over_another_object(place: Place, condition: dict[str, str]) -> None:
    key = place.new_key()
    etag = place.put(key, b"another")
    upload_id, parts = begin(place, key)

    with pytest.raises(PreconditionFailed):
        place.store.multipart.complete(place.bucket, key, upload_id, parts, condition)

    assert place.read(key) == b"another"
    assert place.history(key) == [(etag, False)]
    assert place.store.multipart.list_ids(place.bucket, key) == [upload_id]
    place.store.multipart.abort(place.bucket, key, upload_id)


def test_an_upload_that_may_replace_anything_does(place: Place) -> None:
    key = place.new_key()
    place.put(key, b"another")
    upload_id, parts = begin(place, key)
    place.store.multipart.complete(place.bucket, key, upload_id, parts, {})
    assert place.read(key) == b"ours"


def test_an_object_that_comes_right_before_a_completion_is_not_lost(place: Place) -> None:
    """On a store that ignores the condition, it is an earlier version."""
    key = place.new_key()
    upload_id, parts = begin(place, key)
    if not (place.is_versioned or place.guarantees.conditional_completion):
        return
    put = []

    coming = just_before(place.client, "CompleteMultipartUpload", lambda: put.append(place.put(key, b"another")))
    with coming, suppress(PreconditionFailed):
        place.store.multipart.complete(place.bucket, key, upload_id, parts)

    assert place.history(key)[0] == (put[0], False)
    if place.guarantees.conditional_completion:
        assert place.read(key) == b"another"


def test_a_put_says_what_was_stored(place: Place) -> None:
    key = place.new_key()

    stored = place.store.put(place.bucket, key, b"hello", "text/plain")

    newest = place.newest(key)
    assert (stored.version_id, stored.etag, stored.size) == (newest.version_id, newest.etag, 5)
    assert stored.sha256 == "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
    head = place.store.head(place.bucket, key)
    assert head.media_type == "text/plain"
    assert head.checksums.get("SHA256") == (
        stored.sha256 if place.guarantees.checksums else head.checksums.get("SHA256")
    )


def test_bytes_that_change_on_their_way_are_not_stored(place: Place) -> None:
    key = place.new_key()

    def corrupt(request: object, **_: object) -> None:
        request.body = b"hellO"

    events = place.client.meta.events
    events.register("before-send.s3.PutObject", corrupt)
    try:
        with pytest.raises(StoreUnavailable):
            place.store.put(place.bucket, key, b"hello", "text/plain")
    finally:
        events.unregister("before-send.s3.PutObject", corrupt)
    assert place.read(key) is None
