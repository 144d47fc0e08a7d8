"""What a bucket holds: the versions of one key, and those of all keys."""

from collections.abc import Iterable, Iterator
from itertools import chain, groupby, takewhile
from typing import Any

from chalicelib.catalog.objects import ListedVersion, VersioningStatus
from chalicelib.errors import NotFound
from chalicelib.store.answers import version_argument
from chalicelib.store.failures import translating
from chalicelib.store.listing import keep_bodies, listed_pages

# The versions of one key, the oldest first.
History = list[ListedVersion]

# Most keys have few versions, and longer keys with the same beginning, of which there may be many, are listed in vain.
_FIRST = 100
_STATUS: dict[str | None, VersioningStatus] = {"Enabled": "enabled", "Suspended": "suspended"}


class Versions:
    """Lists versions. In a bucket without versioning, each object is the only version of its key, with an empty id."""

    def __init__(self, client: Any) -> None:
        keep_bodies(client)
        self._client = client

    def status(self, bucket: str) -> VersioningStatus:
        """Whether the bucket keeps versions. Once it has, it is never again ``never``."""
        with translating(f"ask for the versioning of {bucket}"):
            status = self._client.get_bucket_versioning(Bucket=bucket).get("Status")
        return _STATUS.get(status, "never")

    def of_key(self, bucket: str, key: str) -> History:
        """The versions and delete markers of one key; none if there is no such key."""
        with translating(f"list the versions of an object of {bucket}"):
            entries = self._entries(Bucket=bucket, Prefix=key, MaxKeys=_FIRST)
            # Longer keys with the same beginning come after it.
            return oldest_first(takewhile(lambda entry: entry.key == key, entries))

    def of_bucket(self, bucket: str) -> Iterator[History]:
        """Every key's history, in the order of keys."""
        with translating(f"list the versions of {bucket}"):
            for _, entries in groupby(self._entries(Bucket=bucket), key=lambda entry: entry.key):
                yield oldest_first(entries)

    def is_there(self, bucket: str, key: str, version_id: str) -> bool:
        """Whether S3 holds this version or delete marker. It must say itself that there is none.

        Ceph answers the same 404 for a delete marker as for nothing, and MinIO a 400 for an id that can't be one of its own.
        So such an answer counts only if no listing shows the version, and so does that of a store which has no versions, 501.
        """
        # Importing it here saves 3 ms where nothing is audited.
        from botocore.exceptions import ClientError

        with translating(f"read a version of an object of {bucket}"):
            try:
                self._client.head_object(Bucket=bucket, Key=key, VersionId=version_id or "null")
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status not in (400, 404, 405, 501):
                    raise
                is_marker = status == 405
            else:
                return True
        return is_marker or any(entry.version_id == version_id for entry in self.of_key(bucket, key))

    def holds(self, bucket: str, key: str, etag: str | None, version_id: str | None = None) -> bool:
        """Whether the object at a key has this ETag. None: whether there is no object, as where a delete marker is.

        ``version_id``: the same of this version. S3's is ``null``, not empty.
        """
        try:
            with translating(f"read an object of {bucket}"):
                answer = self._client.head_object(Bucket=bucket, Key=key, **version_argument(version_id))
        except NotFound:
            return etag is None
        return etag is not None and answer["ETag"].strip('"') == etag

    def pages(self, bucket: str, prefix: str = "", after: str = "") -> Iterator[list[ListedVersion]]:
        """The versions of all keys above ``after``, a page at a time; see `chalicelib.store.listing`."""
        with translating(f"list the versions of {bucket}"):
            yield from listed_pages(self._client, Bucket=bucket, Prefix=prefix, KeyMarker=after)

    def first_key(self, bucket: str, prefix: str, after: str) -> str | None:
        """The first key above ``after`` that begins with ``prefix``; None if there is none."""
        with translating(f"list the versions of {bucket}"):
            pages = listed_pages(self._client, Bucket=bucket, Prefix=prefix, KeyMarker=after, MaxKeys=1)
            return next((entry.key for page in pages for entry in page), None)

    def _entries(self, **what: Any) -> Iterator[ListedVersion]:
        return chain.from_iterable(listed_pages(self._client, **what))


def oldest_first(entries: Iterable[ListedVersion]) -> History:
    """S3 lists the newest first, objects and delete markers apart. Times may be equal, so ``IsLatest`` decides."""
    history = list(entries)
    history.reverse()
    return sorted(history, key=lambda entry: (entry.is_latest, entry.modified))
