"""What a real MinIO sends of everything that can be done to an object: the catalogue is what MinIO lists afterwards."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3
from botocore.exceptions import ClientError

from dev.minio import send_events
from tests.support import stacks
from tests.support.aws import make_bucket, set_versioning
from tests.support.lacking import minio_program
from tests.support.listings import listed_by_catalogue, listed_by_s3
from tests.support.stacks import Stack
from tests.support.waiting import eventually

PLAIN, VERSIONED, SUSPENDED = BUCKETS = ["landfall-plain", "landfall-versioned", "landfall-suspended"]
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("minio-events")
    with stacks.minio(home, minio_program(), LANDFALL_EXTRA_BUCKETS=",".join(BUCKETS)) as running:
        for bucket in BUCKETS:
            make_bucket(running.s3, bucket, versioned=bucket != PLAIN)
            send_events(running.s3, bucket)
        yield running


class Keys:
    """Does things to keys of one bucket; each key is named for what was done to it."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3, self._bucket = s3, bucket

    def put(self, key: str, body: bytes = b"hello", **options: Any) -> str:
        """Returns the version id."""
        answer = self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, **options)
        return str(answer.get("VersionId", "null"))

    def delete(self, key: str, **options: Any) -> str:
        """Returns the version id of the delete marker, or of what was removed."""
        return str(self._s3.delete_object(Bucket=self._bucket, Key=key, **options).get("VersionId", "null"))

    def bulk_delete(self, *names: dict[str, str]) -> list[dict[str, str]]:
        answer = self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": list(names)})
        return list(answer["Deleted"])

    def copy(self, key: str, source: str, **options: Any) -> None:
        found = {"Bucket": self._bucket, "Key": source}
        self._s3.copy_object(Bucket=self._bucket, Key=key, CopySource=found, **options)

    def parts(self, key: str) -> None:
        target = {"Bucket": self._bucket, "Key": key}
        upload = self._s3.create_multipart_upload(**target)["UploadId"]
        bodies = {1: b"x" * 5 * MIB, 2: b"y"}
        parts = [
            {"PartNumber": n, "ETag": self._s3.upload_part(**target, UploadId=upload, PartNumber=n, Body=body)["ETag"]}
            for n, body in bodies.items()
        ]
        self._s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})

    def form(self, key: str) -> None:
        form = self._s3.generate_presigned_post(self._bucket, key)
        answer = urllib3.request("POST", form["url"], fields={**form["fields"], "file": ("f", b"posted")})
        assert answer.status == 204, answer.data

    def tag(self, key: str) -> None:
        tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
        self._s3.put_object_tagging(Bucket=self._bucket, Key=key, Tagging=tags)
        self._s3.delete_object_tagging(Bucket=self._bucket, Key=key)

    def refused(self, key: str, **options: Any) -> None:
        with pytest.raises(ClientError, match=r"PreconditionFailed|ContentChecksumMismatch"):
            self.put(key, b"refused", **options)

    def expire(self, prefix: str) -> None:
        """A lifecycle rule of the past: MinIO obeys it when it is asked for an object."""
        expiration = {"Date": datetime(2020, 1, 1, tzinfo=UTC)}
        rule = {"ID": "expire", "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": expiration}
        self._s3.put_bucket_lifecycle_configuration(Bucket=self._bucket, LifecycleConfiguration={"Rules": [rule]})

    def is_there(self, key: str) -> bool:
        try:
            self._s3.head_object(Bucket=self._bucket, Key=key)
        except ClientError:
            return False
        return True


def do_what_any_bucket_takes(keys: Keys) -> None:
    keys.put("once", ContentType="text/plain", Metadata={"owner": "demo"})
    for body in (b"one", b"two", b"two"):
        keys.put("overwritten", body)
    names = "empty", "folder/", "a b", "a+b", "100%", "100%2Fb", "ünï 🎉", "a/b/c", "'\"\\<>&;=?#", "new\nline"
    for key in names:
        keys.put(key, b"")
    keys.put("full folder/")
    keys.put("/leading slash")  # MinIO drops it
    keys.put(("x" * 203 + "/") * 5 + "yyyy")
    keys.put("tagged at once", Tagging="a=1")
    keys.put("tagged")
    keys.tag("tagged")
    keys.put("summed", ChecksumAlgorithm="SHA256")
    keys.parts("in parts")
    keys.form("form")
    keys.copy("copied", "once")
    keys.copy("copied", "copied", MetadataDirective="REPLACE", Metadata={"a": "b"})
    keys.put("only once", IfNoneMatch="*")
    keys.refused("only once", IfNoneMatch="*")
    keys.refused("wrong sum", ChecksumSHA256="x" * 43 + "=")
    keys.put("deleted")
    keys.put("deleted twice")
    for key in ("deleted", "deleted twice", "deleted twice", "never there", "full folder/"):
        keys.delete(key)
    keys.put("back again")
    keys.delete("back again")
    keys.put("back again", b"other bytes")
    for key in ("bulk one", "bulk two"):
        keys.put(key)
    keys.bulk_delete(*({"Key": key} for key in ("bulk one", "bulk two", "bulk never there")))
    keys.put("ruled/expired")
    keys.expire("ruled/")
    assert not keys.is_there("ruled/expired")


def do_what_versions_take(keys: Keys) -> None:
    first, second = keys.put("first removed", b"1"), keys.put("first removed", b"22")
    keys.delete("first removed", VersionId=first)
    keys.delete("first removed", VersionId=first)
    first, second = keys.put("second removed", b"1"), keys.put("second removed", b"22")
    keys.delete("second removed", VersionId=second)
    keys.put("undeleted")
    keys.delete("undeleted", VersionId=keys.delete("undeleted"))
    keys.put("undeleted twice")
    for _ in range(2):
        keys.delete("undeleted twice", VersionId=keys.delete("undeleted twice"))
    keys.put("put over a marker")
    marker = keys.delete("put over a marker")
    keys.put("put over a marker", b"other")
    keys.delete("put over a marker", VersionId=marker)
    version = keys.put("nothing left")
    keys.bulk_delete({"Key": "nothing left", "VersionId": version})
    keys.put("undeleted in bulk")
    (marked,) = keys.bulk_delete({"Key": "undeleted in bulk"})
    keys.bulk_delete({"Key": "undeleted in bulk", "VersionId": marked["DeleteMarkerVersionId"]})


def do_what_suspended_versions_take(keys: Keys) -> None:
    keys.put("null deleted", b"1")
    keys.delete("null deleted")
    keys.put("null undeleted", b"1")
    keys.delete("null undeleted")
    keys.delete("null undeleted", VersionId="null")
    keys.put("null removed")
    keys.delete("null removed", VersionId="null")
    keys.put("null over a version", b"other")


def test_the_catalogue_is_what_minio_lists_after_everything_that_it_sends_events_of(stack: Stack) -> None:
    Keys(stack.s3, SUSPENDED).put("null over a version")
    set_versioning(stack.s3, SUSPENDED, "Suspended")
    for bucket in BUCKETS:
        do_what_any_bucket_takes(Keys(stack.s3, bucket))
    do_what_versions_take(Keys(stack.s3, VERSIONED))
    do_what_suspended_versions_take(Keys(stack.s3, SUSPENDED))
    for bucket in BUCKETS:
        Keys(stack.s3, bucket).put("the last")  # events come in order

    for bucket in BUCKETS:
        eventually(lambda: listed_by_catalogue(stack.engine, bucket) == listed_by_s3(stack.s3, bucket))  # noqa: B023
        assert listed_by_catalogue(stack.engine, bucket) == listed_by_s3(stack.s3, bucket)
    assert stack.take_dead_events() == []


@pytest.mark.parametrize("is_hasty", [False, True])
def test_the_history_of_a_file_that_was_deleted_and_undeleted_tells_both(stack: Stack, is_hasty: bool) -> None:
    """Also if the marker is gone again before its first event comes."""
    keys, key = Keys(stack.s3, VERSIONED), f"story {is_hasty}"
    keys.put(key)

    def changes() -> list[str]:
        query = urlencode({"key": key, "state": "any", "bucket": VERSIONED})
        files = stack.get(f"/api/files?{query}")["items"]
        return sorted(
            event["change"] for file in files for event in stack.get(f"/api/files/{file['id']}/events")["items"]
        )

    assert eventually(lambda: changes() == ["put"])
    marker = keys.delete(key)
    assert is_hasty or eventually(lambda: changes() == ["marker", "put"])
    keys.delete(key, VersionId=marker)
    assert eventually(lambda: changes() == ["marker", "put", "removal"])
    assert listed_by_catalogue(stack.engine, VERSIONED) == listed_by_s3(stack.s3, VERSIONED)
