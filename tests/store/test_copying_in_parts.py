"""Copies in parts: what is told of them, and how another process goes on with one."""

from dataclasses import replace

import pytest

from chalicelib.catalog.objects import Copied, CopyUpload, Over, Source
from chalicelib.catalog.parts import MIB
from chalicelib.store import copying_in_parts
from chalicelib.store.copying_in_parts import Course
from tests.support.dying import Died, die
from tests.support.object_stores import Place

BODY = b"a" * 5 * MIB + b"b" * 5 * MIB + b"c"


class Told(Course):
    """A course that keeps what it is told, and dies once so many parts are left."""

    def __init__(self, upload: CopyUpload | None = None, dies_with: int = -1) -> None:
        self.noted, self.dies_with = upload, dies_with
        self.left: list[int] = []
        self.foretold = ""

    @property
    def upload(self) -> CopyUpload | None:
        return self.noted

    def begin(self, upload: CopyUpload) -> None:
        self.noted = upload

    def go_on(self, left: int) -> None:
        self.left.append(left)
        if left == self.dies_with:
            die()

    def foretell(self, etag: str) -> None:
        self.foretold = etag
        if self.dies_with == 0:
            die()

    def keeps(self, error: BaseException) -> bool:
        return True


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3's parts have 5 MiB at least, but for the last. One after the other, so that a test knows which are there."""
    monkeypatch.setattr(copying_in_parts, "_PART_BYTES", 5 * MIB)
    monkeypatch.setattr(copying_in_parts, "part_size", lambda size: 5 * MIB)
    monkeypatch.setattr(copying_in_parts, "_COPIERS", 1)


@pytest.fixture
def source(careful: Place) -> Source:
    key = careful.new_key()
    etag = careful.put(key, BODY)
    return Source(careful.bucket, key, careful.newest(key).version_id, etag, len(BODY))


def copy(place: Place, source: Source, key: str, course: Course) -> Copied:
    return place.store.copier.copy(source, place.bucket, key, course=course, over=Over())


def unfinished(place: Place, key: str) -> list[str]:
    return place.store.multipart.list_ids(place.bucket, key)


def test_a_copy_is_made_of_many_parts(careful: Place, source: Source) -> None:
    key, course = careful.new_key(), Told()

    copied = copy(careful, source, key, course)

    assert careful.read(key) == BODY
    assert (copied.version_id, copied.etag) == (careful.newest(key).version_id, careful.newest(key).etag)
    assert (course.left, course.foretold) == ([2, 1, 0], copied.etag)


@pytest.mark.parametrize("body", [b"small", b""], ids=["small", "empty"])
def test_the_copy_of_what_was_made_of_parts_is_foretold(careful: Place, body: bytes) -> None:
    """S3 gives an object of parts another ETag than its copy in one request, and says so only afterwards."""
    place, key, course = careful, careful.new_key(), Told()
    where = {"Bucket": place.bucket, "Key": f"{key}source"}
    upload = where | {"UploadId": place.client.create_multipart_upload(**where)["UploadId"]}
    part = {"PartNumber": 1, "ETag": place.client.upload_part(**upload, PartNumber=1, Body=body)["ETag"]}
    place.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})
    newest = place.newest(f"{key}source")
    source = Source(place.bucket, f"{key}source", newest.version_id, newest.etag, len(body))

    copied = copy(place, source, key, course)

    assert place.read(key) == body
    assert course.foretold == copied.etag == place.newest(key).etag


@pytest.mark.parametrize("left", [2, 1, 0])
def test_the_next_process_copies_only_what_is_left(careful: Place, source: Source, left: int) -> None:
    key, first = careful.new_key(), Told(dies_with=left)
    with pytest.raises(Died):
        copy(careful, source, key, first)
    assert careful.read(key) is None

    second = Told(first.noted)
    copied = copy(careful, source, key, second)

    assert careful.read(key) == BODY
    # What S3 was copying when the process died may have come to its end, too.
    assert len(second.left) <= left
    assert copied.etag == second.foretold == careful.newest(key).etag
    assert unfinished(careful, key) == []


def test_a_copy_of_another_object_begins_anew_and_leaves_no_part(careful: Place, source: Source) -> None:
    key, first = careful.new_key(), Told(dies_with=1)
    with pytest.raises(Died):
        copy(careful, source, key, first)
    body = BODY[::-1]
    etag = careful.put(source.key, body)
    other = replace(source, version_id=careful.newest(source.key).version_id, etag=etag)

    second = Told(first.noted)
    copy(careful, other, key, second)

    assert careful.read(key) == body
    assert second.left == [2, 1, 0]
    assert unfinished(careful, key) == []


def test_parts_of_what_was_put_again_meanwhile_are_not_gone_on_with(careful: Place, source: Source) -> None:
    """Without a version id, the same ETag doesn't mean that it was the same object all the time."""
    key, first = careful.new_key(), Told(dies_with=1)
    with pytest.raises(Died):
        copy(careful, source, key, first)
    assert first.noted is not None
    earlier = replace(first.noted, modified=first.noted.modified.replace(year=2001))

    second = Told(earlier)
    copy(careful, source, key, second)

    assert careful.read(key) == BODY
    assert second.left == [2, 1, 0]


def test_a_copy_whose_upload_is_gone_begins_anew(careful: Place, source: Source) -> None:
    """A lifecycle rule may have aborted it."""
    key, first = careful.new_key(), Told(dies_with=1)
    with pytest.raises(Died):
        copy(careful, source, key, first)
    assert first.noted is not None
    careful.store.multipart.abort(careful.bucket, key, first.noted.upload_id)

    second = Told(first.noted)
    copy(careful, source, key, second)

    assert careful.read(key) == BODY
    assert second.left == [2, 1, 0]
    assert second.noted != first.noted


def test_a_copy_that_nobody_goes_on_with_leaves_no_part(careful: Place, source: Source) -> None:
    class Forgets(Told):
        def keeps(self, error: BaseException) -> bool:
            return False

    key = careful.new_key()
    with pytest.raises(Died):
        copy(careful, source, key, Forgets(dies_with=1))
    assert unfinished(careful, key) == []
