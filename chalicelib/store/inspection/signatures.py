"""The media type of an object, as its first bytes show it."""

import codecs
import re
from typing import Any

from chalicelib.store.inspection.texts import is_utf8

# Enough for every signature puremagic knows but a few of archives, and for the headers of all common image formats.
FIRST_BYTES = 8192

# Signatures that nothing else has, so they decide. For all other types we ask puremagic, which weighs many short
# signatures and wants footers.
_CERTAIN = (
    (rb"%PDF-\d", "application/pdf"),
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff[\xc0-\xfe]", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"II\*\x00|MM\x00\*", "image/tiff"),
    (rb"RIFF....WEBP", "image/webp"),
    (rb"RIFF....WAVE", "audio/wav"),
    (rb"RIFF....AVI ", "video/x-msvideo"),
    (rb"....ftyp(avif|avis)", "image/avif"),
    (rb"....ftyp(heic|heix|mif1|msf1)", "image/heic"),
    (rb"....ftypqt  ", "video/quicktime"),
    (rb"....ftyp(M4A |M4B )", "audio/mp4"),
    (rb"....ftyp", "video/mp4"),
    (rb"fLaC\x00", "audio/flac"),
    (rb"ID3[\x02-\x04]", "audio/mpeg"),
    (rb"OggS\x00", "audio/ogg"),
    (rb"PK\x03\x04|PK\x05\x06", "application/zip"),
    (rb"\x1f\x8b\x08", "application/gzip"),
    (rb"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (rb"Rar!\x1a\x07", "application/vnd.rar"),
    (rb"\x7fELF[\x01\x02]", "application/x-executable"),
    (rb"MZ(?s:.{58}).\x00\x00\x00|MZ\x90\x00\x03", "application/vnd.microsoft.portable-executable"),
)
_SIGNATURES = [(re.compile(pattern, re.DOTALL), media_type) for pattern, media_type in _CERTAIN]
_TAR_MAGIC = slice(257, 262)
_EBML, _WEBM = b"\x1aE\xdf\xa3", b"webm"


def detect_type(data: bytes, size: int) -> str | None:
    """The media type of an object of ``size`` bytes that begins with ``data``; None if it can't be told.

    Anyone may have written the bytes. If a library fails on hostile ones, the answer is at worst None.
    """
    return _certain(data) or _by_puremagic(data) or ("text/plain" if _is_text(data, len(data) == size) else None)


def _certain(data: bytes) -> str | None:
    for pattern, media_type in _SIGNATURES:
        if pattern.match(data):
            return media_type
    if data[_TAR_MAGIC] == b"ustar":
        return "application/x-tar"
    if data.startswith(_EBML):
        return "video/webm" if _WEBM in data[:64] else "video/x-matroska"
    return None


def _by_puremagic(data: bytes) -> str | None:
    import puremagic  # saves 4 ms

    try:
        matches: list[Any] = [match for match in puremagic.magic_string(data) if match.mime_type]
    except Exception:  # noqa: BLE001 - a parser of hostile bytes; see `detect_type`
        return None
    return str(matches[0].mime_type) if matches and matches[0].confidence >= 0.5 else None


def _is_text(data: bytes, is_whole: bool) -> bool:
    """Whether ``data`` is text: UTF-8 without a NUL, which no text has, or UTF-16 with its mark."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    return bool(data) and b"\0" not in data and is_utf8(data, is_whole)
