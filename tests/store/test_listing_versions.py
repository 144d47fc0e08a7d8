"""What a bucket is said to hold: the versions of a key and of all keys, and the delete marker on top."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.errors import NotFound
from chalicelib.store.versions import Versions
from tests.support.aws import s3_client, set_versioning
from tests.support.object_stores import Place

HOSTILE = [
    "ünï cödé", "🎉", "100%", "100%25", "a%2Fb", "%", "a+b", "a b", "a&b", "a<b>", 'quo"te\'s', "tab\there", "new\nline",
    "semi;colon?query#part=1", "back\\slash", "x" * 200,
]  # fmt: skip


@pytest.fixture
def short_pages(client: Any) -> Iterator[None]:
    """Three entries a page, as if three were S3's thousand."""

    def shorten(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = 3

    event = "provide-client-params.s3.ListObjectVersions"
    client.meta.events.register(event, shorten)
    yield
    client.meta.events.unregister(event, shorten)


def test_a_hostile_key_is_found_under_its_own_name(careful: Place) -> None:
    etags = {key: careful.put(key, key.encode()) for key in HOSTILE}

    for key, etag in etags.items():
        (entry,) = careful.store.versions.of_key(careful.bucket, key)
        assert (entry.key, entry.etag, entry.is_latest, entry.size) == (key, etag, True, len(key.encode()))
        assert careful.store.versions.is_there(careful.bucket, key, entry.version_id)


def test_a_key_is_not_mixed_up_with_those_that_begin_like_it(careful: Place) -> None:
    key = careful.new_key()
    beside = [f"{key}a", f"{key} ", f"{key}+", f"{key}-", f"{key}0", f"{key}~", f"{key}é", f"{key}🎉"]
    if careful.server.kind != "minio":  # there, a key can't be a folder of others
        beside += [f"{key}/", f"{key}/a"]
    for other in beside:
        careful.put(other, b"another")

    assert careful.store.versions.of_key(careful.bucket, key) == []
    etag = careful.put(key)
    assert careful.history(key) == [(etag, False)]
    assert all(len(careful.store.versions.of_key(careful.bucket, other)) == 1 for other in beside)


def test_a_key_with_a_slash_at_its_end_is_one_of_its_own(careful: Place) -> None:
    folder = f"{careful.new_key()}/"
    careful.put(f"{folder}a")
    etag = careful.put(folder, b"")

    (entry,) = careful.store.versions.of_key(careful.bucket, folder)

    assert (entry.key, entry.etag, entry.size) == (folder, etag, 0)


@pytest.mark.usefixtures("short_pages")
def test_the_versions_of_a_key_come_over_many_pages_in_their_order(careful: Place) -> None:
    key = careful.new_key()
    etags = []
    for number in range(8):
        etags.append(careful.put(key, str(number).encode()))
        if number in (2, 5):
            careful.delete(key)
        careful.put(f"{key}{number}", b"another")

    if careful.is_versioned:
        expected = [(etag, False) for etag in etags]
        assert careful.history(key) == [*expected[:3], ("", True), *expected[3:6], ("", True), *expected[6:]]
    else:
        assert careful.history(key) == [(etags[-1], False)]
    assert careful.newest(key).is_latest


@pytest.mark.usefixtures("short_pages")
def test_every_key_of_a_bucket_comes_once_in_the_order_of_their_bytes(careful: Place) -> None:
    """Ceph doesn't encode the key at which the next page begins: with a ``+`` or ``%2F`` in it, some were left out."""
    keys = ["!", "a", "a b", "a%2F", "a+", "b/c", "c", "k~", "é", "🎉"]
    with careful.server.bucket(careful.versioning) as bucket:
        place = replace(careful, bucket=bucket)
        for key in keys:
            place.put(key, b"1")
            place.put(key, b"22")
            place.delete(key)
            place.put(key, b"333")

        histories = list(place.store.versions.of_bucket(bucket))

    assert [history[0].key for history in histories] == keys
    expected = [1, 2, None, 3] if careful.is_versioned else [3]
    assert [[entry.size for entry in history] for history in histories] == [expected] * len(keys)


def test_more_than_a_thousand_versions_are_listed(careful: Place) -> None:
    """Delete markers, since they are made a thousand at a time; MinIO and Ceph make none of a key that is deleted already."""
    if not careful.is_versioned or careful.server.kind != "emulator":
        return
    key = careful.new_key()
    careful.put(key)
    for _ in range(2):
        careful.server.s3.delete_objects(Bucket=careful.bucket, Delete={"Objects": [{"Key": key}] * 501})

    history = careful.store.versions.of_key(careful.bucket, key)

    assert [entry.is_marker for entry in history] == [False] + [True] * 1002
    assert len({entry.version_id for entry in history}) == 1003
    assert [entry.is_latest for entry in history] == [False] * 1002 + [True]


def test_a_bucket_says_whether_it_keeps_versions(careful: Place) -> None:
    versions = careful.store.versions
    with careful.server.bucket("plain") as bucket:
        assert versions.status(bucket) == "never"
        set_versioning(careful.server.s3, bucket, "Enabled")
        assert versions.status(bucket) == "enabled"
        set_versioning(careful.server.s3, bucket, "Suspended")
        assert versions.status(bucket) == "suspended"


def test_a_version_is_there_until_it_is_removed_and_so_is_a_delete_marker(careful: Place) -> None:
    key, versions = careful.new_key(), careful.store.versions
    assert not versions.is_there(careful.bucket, key, "")
    careful.put(key)
    current = careful.newest(key).version_id
    assert versions.is_there(careful.bucket, key, current)
    careful.delete(key)
    assert versions.is_there(careful.bucket, key, current) is careful.is_versioned
    if not careful.is_versioned:
        return

    marker = careful.newest(key).version_id
    assert versions.is_there(careful.bucket, key, marker)
    careful.delete(key, VersionId=current)
    assert not versions.is_there(careful.bucket, key, current)
    careful.delete(key, VersionId=marker)
    assert not versions.is_there(careful.bucket, key, marker)


def test_a_version_of_another_store_is_not_there(careful: Place) -> None:
    """MinIO refuses an id that it can't have given."""
    key = careful.new_key()
    careful.put(key)
    assert not careful.store.versions.is_there(careful.bucket, key, "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY")
    assert not careful.store.versions.is_there(careful.bucket, key, "5776d3a2-d96e-498a-960d-d9b0b306f437")


def test_the_marker_that_hides_a_key_is_named(careful: Place) -> None:
    key, store = careful.new_key(), careful.store
    with pytest.raises(NotFound):
        store.hiding_marker(careful.bucket, key)
    careful.put(key)
    assert store.hiding_marker(careful.bucket, key) is None
    careful.delete(key)
    if not careful.is_versioned:
        with pytest.raises(NotFound):
            store.hiding_marker(careful.bucket, key)
        return

    assert store.hiding_marker(careful.bucket, key) == careful.newest(key).version_id
    careful.delete(key, VersionId=careful.newest(key).version_id)
    assert store.hiding_marker(careful.bucket, key) is None


def test_where_versioning_is_suspended_the_marker_has_no_id(suspended: Place) -> None:
    key = suspended.new_key()
    suspended.put(key)
    suspended.delete(key)

    assert suspended.store.hiding_marker(suspended.bucket, key) == ""
    assert suspended.store.versions.is_there(suspended.bucket, key, "")


@pytest.mark.parametrize("version_id", [None, "null"])
def test_where_versioning_is_suspended_a_key_holds_an_object_or_a_marker(
    suspended: Place, version_id: str | None
) -> None:
    key, versions = suspended.new_key(), suspended.store.versions
    etag = suspended.put(key)

    def held() -> list[bool]:
        return [versions.holds(suspended.bucket, key, one, version_id) for one in (etag, "another", None)]

    assert held() == [True, False, False]
    suspended.delete(key)
    assert held() == [False, False, True]


def test_an_error_in_an_answer_that_says_200_is_still_found_by_botocore() -> None:
    client = s3_client("http://127.0.0.1:1")
    for _ in range(2):
        Versions(client)
    answer = {"status_code": 200, "body": b"<Error><Code>InternalError</Code></Error>"}
    operation = client.meta.service_model.operation_model("CopyObject")
    client.meta.events.emit(
        "before-parse.s3.CopyObject", operation_model=operation, response_dict=answer, customized_response_dict={}
    )
    assert answer["status_code"] == 500
