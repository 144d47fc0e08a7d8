"""Deletions take the object that was meant and no other, whether the store honours conditions or Landfall must look.

One case is left out, because nothing can be promised: a bucket without versions, on a store that ignores the condition,
and an object that comes in the milliseconds between our look and our deletion.
"""

from contextlib import suppress

import pytest

from chalicelib.catalog.objects import Deletion
from chalicelib.errors import NotFound, PreconditionFailed
from tests.support.object_stores import Place, just_before


def is_safe(place: Place, honoured: bool) -> bool:
    """Whether an object is safe that comes right before our request."""
    return place.is_versioned or honoured


def test_the_object_that_was_meant_is_deleted(place: Place) -> None:
    key = place.new_key()
    etag = place.put(key)

    deletion = place.store.deleter.delete_if(place.bucket, key, etag)

    assert place.read(key) is None
    assert deletion.is_marker is place.is_versioned
    if place.is_versioned:
        assert place.history(key) == [(etag, False), ("", True)]
        assert deletion.version_id == place.newest(key).version_id != ""


def test_another_object_is_not_deleted(place: Place) -> None:
    key = place.new_key()
    etag = place.put(key, b"mine")
    other = place.put(key, b"another")

    with pytest.raises(PreconditionFailed):
        place.store.deleter.delete_if(place.bucket, key, etag)

    assert place.read(key) == b"another"
    assert place.history(key)[-1] == (other, False)


def test_where_nothing_is_left_a_conditional_deletion_says_so(place: Place) -> None:
    key = place.new_key()
    with pytest.raises(NotFound):
        place.store.deleter.delete_if(place.bucket, key, "5d41402abc4b2a76b9719d911017c592")

    etag = place.put(key)
    place.delete(key)
    before = place.history(key)
    with pytest.raises(NotFound):
        place.store.deleter.delete_if(place.bucket, key, etag)
    assert place.history(key) == before


def test_an_object_that_comes_right_before_the_deletion_stays_current(place: Place) -> None:
    key = place.new_key()
    etag = place.put(key, b"mine")
    if not is_safe(place, place.guarantees.conditional_delete):
        return

    with (
        just_before(place.client, "DeleteObject", lambda: place.put(key, b"another")),
        pytest.raises(PreconditionFailed),
    ):
        place.store.deleter.delete_if(place.bucket, key, etag)

    assert place.read(key) == b"another"
    assert ("", True) not in place.history(key)


def test_a_deletion_of_another_client_that_comes_right_before_ours_is_no_harm(place: Place) -> None:
    key = place.new_key()
    etag = place.put(key)

    with just_before(place.client, "DeleteObject", lambda: place.delete(key)):
        try:
            deletion = place.store.deleter.delete_if(place.bucket, key, etag)
        except (NotFound, PreconditionFailed):
            assert place.guarantees.conditional_delete
        else:
            assert deletion.is_marker is place.is_versioned

    assert place.read(key) is None
    assert place.history(key)[:1] == ([(etag, False)] if place.is_versioned else [])


def test_a_delete_marker_of_another_client_is_not_taken_back(place: Place) -> None:
    """Where ours makes none (Ceph), the one that is there hides an object that its owner has deleted."""
    if place.server.kind == "minio":
        return  # it makes none either, and answers as if it had made the one that is there: nothing tells them apart
    key = place.new_key()
    etag = place.put(key, b"mine")

    def put_and_delete() -> None:
        place.put(key, b"another")
        place.delete(key)

    with just_before(place.client, "DeleteObject", put_and_delete), suppress(NotFound, PreconditionFailed):
        place.store.deleter.delete_if(place.bucket, key, etag)

    assert place.read(key) is None


def test_many_are_deleted_by_their_etags_and_others_are_named(place: Place) -> None:
    keys = [place.new_key() for _ in range(5)]
    same, changed, unconditional, gone, _never = keys
    etags = [place.put(key, key.encode()) for key in keys[:4]] + ["5d41402abc4b2a76b9719d911017c592"]
    place.put(changed, b"another")
    place.delete(gone)
    etags[keys.index(unconditional)] = ""

    answers = place.store.deleter.delete_many(place.bucket, [(key, None) for key in keys], etags)

    assert isinstance(answers[0], Deletion)
    assert answers[1] == "PreconditionFailed"
    assert isinstance(answers[2], Deletion)
    assert all(not isinstance(answer, Deletion) or not answer.is_marker for answer in answers[3:])
    assert [place.read(key) for key in keys] == [None, b"another", None, None, None]
    for key, answer in ((same, answers[0]), (unconditional, answers[2])):
        assert isinstance(answer, Deletion)
        assert answer.is_marker is place.is_versioned
        if place.is_versioned:
            assert answer.version_id == place.newest(key).version_id


def test_of_many_one_that_changes_right_before_stays_current(place: Place) -> None:
    key, other = place.new_key(), place.new_key()
    etags = [place.put(key, b"mine"), place.put(other)]
    if not is_safe(place, place.guarantees.conditional_bulk_delete):
        return
    is_bulk = place.guarantees.conditional_bulk_delete
    operation, at = ("DeleteObjects", "") if is_bulk else ("DeleteObject", key)

    with just_before(place.client, operation, lambda: place.put(key, b"another"), at):
        answers = place.store.deleter.delete_many(place.bucket, [(key, None), (other, None)], etags)

    assert answers[0] == "PreconditionFailed"
    assert isinstance(answers[1], Deletion)
    assert (place.read(key), place.read(other)) == (b"another", None)
    assert ("", True) not in place.history(key)


def test_a_missing_key_is_deleted_without_complaint(place: Place) -> None:
    """S3 makes a delete marker of nothing, and so does Ceph; MinIO doesn't. The answer tells which."""
    key = place.new_key()

    deletion = place.store.deleter.delete(place.bucket, key)

    history = place.store.versions.of_key(place.bucket, key)
    assert [entry.version_id for entry in history] == ([deletion.version_id] if deletion.is_marker else [])


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_a_deleted_key_that_is_deleted_again_is_never_said_to_lose_its_object(place: Place, many: bool) -> None:
    """Ceph makes no second delete marker, and its answer doesn't tell of the first."""
    key = place.new_key()
    place.put(key)
    place.delete(key)

    deleter = place.store.deleter
    (deletion,) = deleter.delete_many(place.bucket, [(key, None)]) if many else [deleter.delete(place.bucket, key)]

    assert isinstance(deletion, Deletion)
    assert deletion.is_marker is place.is_versioned
    if place.is_versioned:
        assert deletion.version_id == place.newest(key).version_id


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_where_versioning_is_suspended_the_delete_marker_is_told_of(suspended: Place, many: bool) -> None:
    """MinIO's answer doesn't."""
    key = suspended.new_key()
    suspended.put(key)

    deleter = suspended.store.deleter
    answers = deleter.delete_many(suspended.bucket, [(key, None)]) if many else [deleter.delete(suspended.bucket, key)]

    assert [(d.version_id, d.is_marker) for d in answers if isinstance(d, Deletion)] == [("", True)]
    assert suspended.history(key) == [("", True)]


def test_versions_are_removed_by_their_ids_and_so_are_delete_markers(place: Place) -> None:
    key = place.new_key()
    place.put(key, b"one")
    if not place.is_versioned:
        assert not place.store.deleter.delete(place.bucket, key, "null").is_marker
        assert place.read(key) is None
        return
    place.put(key, b"two")
    place.delete(key)
    one, two, marker = place.store.versions.of_key(place.bucket, key)

    deletion = place.store.deleter.delete(place.bucket, key, marker.version_id)
    assert (deletion.version_id, deletion.is_marker) == (marker.version_id, False)
    assert place.read(key) == b"two"

    again = place.store.deleter.delete(place.bucket, key, marker.version_id)
    assert (again.version_id, again.is_marker) == (marker.version_id, False), "as after an answer that was lost"

    names = [(key, one.version_id), (key, two.version_id)]
    answers = place.store.deleter.delete_many(place.bucket, names)
    assert [(d.version_id, d.is_marker) for d in answers if isinstance(d, Deletion)] == [
        (one.version_id, False),
        (two.version_id, False),
    ]
    assert place.history(key) == []
