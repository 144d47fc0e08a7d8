"""What a notification doesn't carry: an object's headers, and what its first bytes say it is."""

import io
from typing import TYPE_CHECKING, Any

from chalicelib.catalog.media_types import UNTOLD, disagree, essence
from chalicelib.store.inspection.signatures import FIRST_BYTES, detect_type

if TYPE_CHECKING:
    from chalicelib.store.client import ObjectStore

_UNREADABLE = {"GLACIER", "DEEP_ARCHIVE"}


def inspect_object(store: "ObjectStore", bucket: str, key: str, version_id: str) -> dict[str, Any]:
    """HEAD an object, and read its first bytes unless its storage class would refuse.

    Returns:
        ``content_type``, ``metadata`` (user metadata), ``storage_class``, ``checksums`` by algorithm, ``size`` in bytes,
        ``last_modified`` (ISO 8601), ``media_type`` (the best answer), ``sha256`` (base64, of the whole object, where S3 has
        verified it), and where the bytes tell them ``detected_media_type``, ``is_mismatch`` (true if the object is not what
        its header says), ``width`` and ``height`` in pixels.

    Raises:
        NotFound: the object is gone. StoreUnavailable: S3 does not answer.
    """
    head = store.head(bucket, key, version_id or None)
    if not version_id and head.version_id:
        version_id = "null"  # the key got versions later, and the current one was answered
        head = store.head(bucket, key, version_id)
    media_type = storable_media_type(head.media_type)
    found: dict[str, Any] = {
        "content_type": media_type,
        "metadata": {_storable(name): _storable(text) for name, text in head.metadata.items()},
        "storage_class": head.storage_class,
        "checksums": head.checksums,
        "size": head.size,
        "last_modified": head.last_modified.isoformat() if head.last_modified else None,
    }
    if head.size and head.storage_class not in _UNREADABLE:
        found |= detect(store.first_bytes(bucket, key, version_id or None, FIRST_BYTES))
    detected = found.get("detected_media_type")
    found["media_type"] = detected or media_type if essence(media_type or "") in UNTOLD else media_type
    found["is_mismatch"] = disagree(media_type, detected) or None
    # With a hyphen it is the checksum of the parts' checksums.
    found["sha256"] = next((sum_ for sum_ in [head.checksums.get("SHA256")] if sum_ and "-" not in sum_), None)
    return {name: value for name, value in found.items() if value not in (None, {})}


def storable_media_type(text: str | None) -> str | None:
    """``text`` if it can be a media type that is worth keeping: anyone may send anything, thousands of bytes of it."""
    return text if text and len(text) <= 255 and text.isprintable() else None


def _storable(text: str) -> str:
    """Without what PostgreSQL text cannot hold."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def detect(data: bytes) -> dict[str, Any]:
    """What the first bytes tell: ``detected_media_type``, and ``width`` and ``height`` of an image; maybe nothing.

    Bytes are anyone's: whatever the libraries make of a hostile file, the answer is at worst empty.
    """
    media_type = detect_type(data)
    return ({"detected_media_type": media_type} if media_type else {}) | _detect_size(data)


def _detect_size(data: bytes) -> dict[str, Any]:
    import imagesize

    try:
        width, height = imagesize.get(io.BytesIO(data))
    except Exception:  # noqa: BLE001 - a parser of hostile bytes; see `detect`
        return {}
    if not (0 < width < 2**31 and 0 < height < 2**31):
        return {}
    return {"width": int(width), "height": int(height)}
