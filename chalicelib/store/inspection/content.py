"""What the bytes of an object tell, by its type: one small reader for each family, all of them over a `RangedFile`.

A reader of a new kind (thumbnails, say) is one more entry of `_READERS`.
"""

from collections.abc import Callable
from typing import Any

from chalicelib.store.inspection import archives, audio, images, matroska, mp4, pdf, texts
from chalicelib.store.inspection.ranged import Exhausted, RangedFile
from chalicelib.store.inspection.signatures import FIRST_BYTES, detect_type

# A tar has a header of 512 bytes before each member: larger blocks would fetch mostly what lies between.
_TAR_BLOCK, _TAR_FETCHES = 4096, 100

Fetch = Callable[[int, int], bytes]
Facts = dict[str, Any]


def examine(fetch: Fetch, size: int, keep_place: bool = False) -> Facts:
    """What an object of ``size`` bytes tells of itself; ``fetch`` as of `RangedFile`, at most 1 MiB in all.

    Anyone may have written the bytes. If a reader fails on hostile ones, at worst its findings are left out.

    Returns:
        ``detected_media_type`` and, by type: ``width``, ``height``, ``orientation``, ``exif`` of an image; ``document`` of a
        PDF; ``media`` of audio and video; ``archive``; ``text``.

    Raises:
        whatever ``fetch`` raises: that is no fault of the object.
    """
    faults: list[BaseException] = []

    def careful(start: int, stop: int) -> bytes:
        try:
            return fetch(start, stop)
        except Exception as error:
            faults.append(error)  # a reader may swallow it
            raise

    file = RangedFile(careful, size)
    media_type = detect_type(file.at(0, FIRST_BYTES), size)
    if media_type is None:
        return {}
    facts: Facts = {"detected_media_type": media_type}
    for reader in _readers(media_type):
        try:
            facts |= reader(file, media_type, keep_place)
        except Exhausted:
            continue
        except Exception:  # noqa: BLE001 - see above
            if faults:
                raise faults[0] from None
            continue
        if faults:
            raise faults[0]
    return facts


def examine_bytes(data: bytes) -> Facts:
    """`examine` for bytes that are here."""
    return examine(lambda start, stop: data[start:stop], len(data))


Reader = Callable[[RangedFile, str, bool], Facts]


def _size(file: RangedFile, _media_type: str, _keep_place: bool) -> Facts:
    return images.size_of(file)


def _exif(file: RangedFile, _media_type: str, keep_place: bool) -> Facts:
    return _given(images.exif_of(file, keep_place))


def _document(file: RangedFile, _media_type: str, _keep_place: bool) -> Facts:
    return _named("document", pdf.document_of(file))


def _mp4(file: RangedFile, _media_type: str, _keep_place: bool) -> Facts:
    return _named("media", _with_bitrate(mp4.tracks_of(file), file.size))


def _matroska(file: RangedFile, _media_type: str, _keep_place: bool) -> Facts:
    return _named("media", _with_bitrate(matroska.tracks_of(file), file.size))


def _audio(file: RangedFile, media_type: str, _keep_place: bool) -> Facts:
    return _named("media", audio.tracks_of(file, media_type))


def _zip(file: RangedFile, _media_type: str, _keep_place: bool) -> Facts:
    return _named("archive", archives.zip_of(file))


def _tar(file: RangedFile, _media_type: str, _keep_place: bool) -> Facts:
    return _named("archive", archives.tar_of(file.in_smaller_blocks(_TAR_BLOCK, _TAR_FETCHES)))


def _gzip(file: RangedFile, _media_type: str, _keep_place: bool) -> Facts:
    return _named("archive", archives.gzip_of(file))


def _text(file: RangedFile, _media_type: str, _keep_place: bool) -> Facts:
    return _named("text", texts.encoding_of(file))


_READERS: dict[str, Reader] = {
    "application/pdf": _document,
    "application/zip": _zip,
    "application/x-tar": _tar,
    "application/gzip": _gzip,
    "video/mp4": _mp4,
    "video/quicktime": _mp4,
    "audio/mp4": _mp4,
    "video/webm": _matroska,
    "video/x-matroska": _matroska,
}
_FAMILIES: dict[str, tuple[Reader, ...]] = {"image": (_size, _exif), "audio": (_audio,), "text": (_text,)}


def _readers(media_type: str) -> tuple[Reader, ...]:
    exact = _READERS.get(media_type)
    return (exact,) if exact else _FAMILIES.get(media_type.partition("/")[0], ())


def _named(name: str, facts: Facts) -> Facts:
    kept = _given(facts)
    return {name: kept} if kept else {}


def _given(facts: Facts) -> Facts:
    return {name: value for name, value in facts.items() if value not in (None, {}, [], "")}


def _with_bitrate(facts: Facts, size: int) -> Facts:
    seconds = facts.get("duration")
    return facts | {"bitrate": round(size * 8 / seconds)} if seconds else facts
