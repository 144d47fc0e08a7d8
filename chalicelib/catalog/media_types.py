"""Media types: whether one is allowed, and whether two say the same about an object."""

import re
from collections.abc import Sequence

# What S3 and its clients say when nobody told them the type.
UNTOLD = frozenset({"", "binary/octet-stream", "application/octet-stream", "application/x-www-form-urlencoded"})
# Formats inside formats: the first bytes show the outer one only. An office document is a zip; a script, a table or
# a drawing is text.
_ZIPPED = ("application/vnd.", "application/epub+zip", "application/java-archive", "application/x-", "model/")
_TEXTUAL = frozenset(
    {
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/rtf",
        "application/sql",
        "application/toml",
        "application/xml",
        "application/yaml",
        "image/svg+xml",
    }
)
_SAME = {
    "application/gzip": "application/x-gzip",
    "application/x-zip-compressed": "application/zip",
    "audio/mp3": "audio/mpeg",
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/mp4",
    "audio/x-wav": "audio/wav",
    "application/mp4": "video/mp4",
    "image/jpg": "image/jpeg",
    "image/vnd.microsoft.icon": "image/x-icon",
    "image/x-ms-bmp": "image/bmp",
    "text/xml": "application/xml",
}
# Containers may hold sound, pictures or both. The declared type knows better which of them.
_CONTAINERS = frozenset({"application/ogg", "audio/mp4", "audio/ogg", "audio/webm", "video/mp4", "video/ogg",
                         "video/quicktime", "video/webm", "video/x-matroska"})  # fmt: skip
# https://www.rfc-editor.org/rfc/rfc9110#name-media-type
_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+/[!#$%&'*+.^_`|~0-9a-z-]+")


def essence(media_type: str) -> str:
    """``media_type`` in lower case without its parameters: ``text/html`` of ``Text/HTML; charset=utf-8``.

    Empty if it is none. Clients may have S3 store any text as the type, and browsers take ``image/png,text/html`` for the
    second one: https://fetch.spec.whatwg.org/#concept-header-extract-mime-type.
    """
    name = media_type.partition(";")[0].strip(" \t").lower()
    return name if _TYPE.fullmatch(name) else ""


def as_kept(media_type: object) -> str | None:
    """``media_type`` as the catalogue keeps it, None if it can't: a client may send anything, even thousands of bytes."""
    return (
        media_type if isinstance(media_type, str) and 0 < len(media_type) <= 255 and media_type.isprintable() else None
    )


def is_allowed(media_type: str, allowed: Sequence[str]) -> bool:
    """Whether one of ``allowed`` (``image/png``, ``image/*``, ``*/*``) covers ``media_type``."""
    name = essence(media_type)
    family = name.partition("/")[0]
    return any(pattern in ("*/*", name, f"{family}/*") for pattern in map(str.lower, allowed))


def disagree(declared: str | None, detected: str | None) -> bool:
    """Whether an object is not what it was declared to be, going by its first bytes.

    A type that was not declared or not detected disagrees with nothing. Nor does a declared type that says more than
    the first bytes can show.

    >>> disagree("image/png", "application/x-dosexec")
    True
    >>> disagree("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip")
    False
    >>> disagree("text/csv", "text/plain")
    False
    """
    said, seen = _plain(declared), _plain(detected)
    if said in UNTOLD or seen in UNTOLD or said == seen:
        return False
    if seen == "application/zip":
        return not said.startswith(_ZIPPED) and not said.endswith("+zip")
    if seen == "text/plain":
        return not _is_textual(said)
    if _is_textual(seen):
        return not _is_textual(said)
    if seen.startswith(("application/vnd.", "application/x-ole")) and said.startswith(("application/", "model/")):
        return False
    return not (seen in _CONTAINERS and said.startswith(("audio/", "video/")))


def _plain(media_type: str | None) -> str:
    name = essence(media_type or "")
    return _SAME.get(name, name)


def _is_textual(media_type: str) -> bool:
    return (
        media_type.startswith(("text/", "message/")) or media_type in _TEXTUAL or media_type.endswith(("+xml", "+json"))
    )
