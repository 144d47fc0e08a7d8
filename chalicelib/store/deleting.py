"""Deletions. A condition is left to the store if it honours it. Otherwise we check it ourselves, as well as one can."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from chalicelib.catalog.objects import Deletion, Guarantees
from chalicelib.errors import NotFound, PreconditionFailed, Refused, StoreUnavailable
from chalicelib.store.answers import answered_at, plain_version_id, version_argument, version_id_of
from chalicelib.store.failures import translating
from chalicelib.store.versions import Versions

_DELETERS = 8


class Deleter:
    """Deletes objects and versions."""

    def __init__(self, client: Any, versions: Versions, guarantees: Callable[[], Guarantees]) -> None:
        self._client = client
        self._versions = versions
        self._guarantees = guarantees

    def delete(self, bucket: str, key: str, version_id: str | None = None) -> Deletion:
        """Delete the current object, or with ``version_id`` that version permanently. A missing key is no error.

        Raises:
            NotFound: there is no such bucket.
        """
        deletion = self._delete(bucket, key, version_id is None, **version_argument(version_id))
        if version_id is not None or deletion.is_marker or self._guarantees().conditional_delete:
            return deletion
        return self._with_marker(bucket, key, deletion)

    def delete_if(self, bucket: str, key: str, etag: str) -> Deletion:
        """Delete the current object, as long as it is the one with this ETag.

        If the store ignores the condition, it is checked right before. In a versioned bucket it is checked afterwards,
        too, and a delete marker that hides something else is removed again. In a bucket without versions, an object
        that comes in the milliseconds between is lost: no such store lets us prevent that.

        Raises:
            PreconditionFailed: it is another one. NotFound: there is none any more.
        """
        if self._guarantees().conditional_delete:
            return self._delete(bucket, key, True, IfMatch=f'"{etag}"')
        with translating(f"read an object of {bucket}"):
            found = self._client.head_object(Bucket=bucket, Key=key)
        if found["ETag"].strip('"') != etag:
            raise PreconditionFailed(f"The object of {bucket} is another one by now.")
        deletion = self._delete(bucket, key, True)
        if not deletion.is_marker:
            # A marker that is there is another client's. Whatever it hides, it is not ours to take back.
            return self._with_marker(bucket, key, deletion)
        if deletion.version_id:
            self._require_hidden(bucket, key, deletion.version_id, version_id_of(found))
        return deletion

    def delete_many(
        self, bucket: str, names: Sequence[tuple[str, str | None]], etags: Sequence[str] = ()
    ) -> list[Deletion | str]:
        """Delete up to 1,000 objects, each named by key and version id (None: the current one). Returns for each of them a
        `Deletion`, or S3's error code if it was not deleted.

        ``etags`` has one ETag for each name, or "". Only an object with that ETag is deleted; if another one is there by
        now, the error code says so.

        A store that ignores these ETags is not asked to delete many at once, but one by one. Ceph 16 would die of it in a
        bucket with notifications, and Ceph 18's events would not name the versions.
        """
        wanted = list(etags) or [""] * len(names)
        if self._guarantees().conditional_bulk_delete and (self._can_send_etags or not any(wanted)):
            return self._delete_together(bucket, names, wanted)
        return self._delete_singly(bucket, names, wanted)

    @property
    def _can_send_etags(self) -> bool:
        """Whether this botocore knows conditions in a bulk deletion: the botocore of a Lambda runtime may be older."""
        request = self._client.meta.service_model.operation_model("DeleteObjects").input_shape
        return "ETag" in request.members["Delete"].members["Objects"].member.members

    def _delete(self, bucket: str, key: str, is_current: bool, **options: str) -> Deletion:
        with translating(f"delete an object of {bucket}"):
            answer = self._client.delete_object(Bucket=bucket, Key=key, **options)
        # Ceph names no version if it is gone already, as after a first answer that was lost.
        named = options.get("VersionId")
        version_id = version_id_of(answer) if named is None else plain_version_id(named)
        return Deletion(version_id, bool(answer.get("DeleteMarker")) and is_current, answered_at(answer))

    def _with_marker(self, bucket: str, key: str, deletion: Deletion) -> Deletion:
        """A deletion of the current object whose answer tells of no delete marker, with the one that is there.

        Ceph makes none if there is one already, and doesn't tell of that one. MinIO doesn't tell of the one that it makes
        where versioning is suspended. Without it, the object below would be taken for removed.
        """
        history = self._versions.of_key(bucket, key)
        marker = next((entry for entry in reversed(history) if entry.is_marker), None)
        return deletion if marker is None else replace(deletion, version_id=marker.version_id, is_marker=True)

    def _require_hidden(self, bucket: str, key: str, marker: str, version_id: str) -> None:
        """Take a delete marker back if it hides another version than this one."""
        history = self._versions.of_key(bucket, key)
        made = next((entry for entry in history if entry.version_id == marker), None)
        if made is None:
            return  # somebody else has removed it already
        hidden = [entry for entry in history if not entry.is_marker and entry.modified <= made.modified]
        if hidden and hidden[-1].version_id != version_id:
            self.delete(bucket, key, marker)
            raise PreconditionFailed(f"The object of {bucket} is another one by now.")

    def _delete_singly(
        self, bucket: str, names: Sequence[tuple[str, str | None]], etags: Sequence[str]
    ) -> list[Deletion | str]:
        with ThreadPoolExecutor(_DELETERS) as pool:
            return list(pool.map(partial(self._try, bucket), names, etags))

    def _try(self, bucket: str, name: tuple[str, str | None], etag: str) -> Deletion | str:
        try:
            return self.delete_if(bucket, name[0], etag) if etag else self.delete(bucket, *name)
        except PreconditionFailed:
            return "PreconditionFailed"
        except NotFound:
            return "NoSuchKey"
        except Refused as error:
            return error.code
        except StoreUnavailable:
            return "ServiceUnavailable"

    def _delete_together(
        self, bucket: str, names: Sequence[tuple[str, str | None]], etags: Sequence[str]
    ) -> list[Deletion | str]:
        objects = [
            {"Key": key, **version_argument(version_id), **({"ETag": f'"{etag}"'} if etag else {})}
            for (key, version_id), etag in zip(names, etags, strict=True)
        ]
        with translating(f"delete objects of {bucket}"):
            answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": objects})
        at = answered_at(answer)
        deleted = {(item["Key"], item.get("VersionId")): item for item in answer.get("Deleted", ())}
        errors = {item["Key"]: str(item.get("Code")) for item in answer.get("Errors", ())}
        return [_deletion(name, deleted, errors, at) for name in names]


def _deletion(
    name: tuple[str, str | None],
    deleted: Mapping[tuple[str, str | None], dict[str, Any]],
    errors: Mapping[str, str],
    at: datetime,
) -> Deletion | str:
    item = deleted.get(name)
    if item is None:
        return errors.get(name[0], "no answer")
    marker = name[1] is None and bool(item.get("DeleteMarker"))
    return Deletion(plain_version_id(item.get("DeleteMarkerVersionId") if marker else name[1]), marker, at)
