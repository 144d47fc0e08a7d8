"""What a notification doesn't carry: an object's headers, and what its bytes tell."""

from math import isfinite
from typing import TYPE_CHECKING, Any

from chalicelib.catalog.media_types import UNTOLD, as_kept, disagree, essence
from chalicelib.catalog.objects import Inspection, ObjectHead, whole_sha256
from chalicelib.errors import NotFound, Refused, StoreUncertain
from chalicelib.store.inspection.content import examine

if TYPE_CHECKING:
    from chalicelib.store.client import ObjectStore

_UNREADABLE = {"GLACIER", "DEEP_ARCHIVE"}


def inspect_object(
    store: "ObjectStore", bucket: str, key: str, version_id: str, keep_place: bool = False
) -> Inspection:
    """HEAD an object, and read up to 1 MiB of it in ranges, unless its storage class doesn't allow it.

    ``keep_place``: also keep where a picture was taken.

    Returns:
        Its facts are ``content_type``, ``metadata`` (user metadata), ``storage_class``, ``checksums`` by algorithm, ``size`` in
        bytes, ``last_modified`` (ISO 8601), ``sha256`` (base64, of the whole object, where S3 has verified it),
        ``is_mismatch`` (true if the object is not what its header says), and what `examine` finds.

    Raises:
        NotFound: the object is gone. StoreUnavailable: S3 does not answer.
    """
    version_id, head = _head(store, bucket, key, version_id)
    media_type = as_kept(head.media_type)
    found: dict[str, Any] = {
        "content_type": media_type,
        "metadata": {_storable(name): _storable(text) for name, text in head.metadata.items()},
        "storage_class": head.storage_class,
        "checksums": head.checksums,
        "size": head.size,
        "last_modified": head.last_modified.isoformat() if head.last_modified else None,
    }
    if head.size and head.storage_class not in _UNREADABLE:
        found |= examine(
            lambda start, stop: store.read_range(bucket, key, version_id or None, head.etag, start, stop),
            head.size,
            keep_place,
        )
    detected = found.get("detected_media_type")
    best = detected or media_type if essence(media_type or "") in UNTOLD else media_type
    found["is_mismatch"] = disagree(media_type, detected) or None
    found["sha256"] = whole_sha256(head.checksums)
    facts = {name: _stored(value) for name, value in found.items() if value not in (None, {})}
    return Inspection(_stored(best), head.size, head.etag, facts)


def _head(store: "ObjectStore", bucket: str, key: str, version_id: str) -> tuple[str, ObjectHead]:
    """A version's headers, and the id that names it: an object without one is ``null`` once its key has versions."""
    try:
        head = store.head(bucket, key, version_id or None)
    except NotFound as missing:
        if version_id:
            raise
        try:  # a delete marker may be above it
            return "null", store.head(bucket, key, "null")
        except (Refused, StoreUncertain):  # as of a store that has no versions
            raise missing from None
    if version_id or not head.version_id:
        return version_id, head
    return "null", store.head(bucket, key, "null")  # S3 has answered with the current one


def _stored(value: Any) -> Any:
    """``value`` as JSONB can hold it, whatever a file says: texts without NUL, and no infinite numbers."""
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, dict):
        return {_storable(name): _stored(member) for name, member in value.items()}
    return [_stored(member) for member in value] if isinstance(value, list) else value


def _storable(text: str) -> str:
    """``text`` without what PostgreSQL text cannot hold."""
    return text.replace("\x00", "").encode(errors="replace").decode()
