"""Rules of S3 keys: how notifications write them, and which keys Landfall chooses for uploads."""

import re
import unicodedata
from urllib.parse import unquote_plus
from uuid import UUID

from chalicelib.errors import MalformedNotification

MAX_KEY_BYTES = 1024
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def decode_key(raw: str) -> str:
    """The key as S3 holds it, from the form-encoded key of an S3 notification (decoded once, `+` is a space).

    Raises:
        MalformedNotification: the bytes are not UTF-8; replacing them would mix up two keys.
    """
    if "%" not in raw:
        return raw.replace("+", " ")
    try:
        return unquote_plus(raw, errors="strict")
    except UnicodeDecodeError as error:
        raise MalformedNotification(f"The key {raw[:200]!r} is not UTF-8.") from error


def check_key(key: str) -> str:
    """``key`` itself when the catalogue can hold it.

    Raises:
        MalformedNotification: empty, longer than S3's 1,024 bytes, or with a NUL or a lone surrogate, which no
            PostgreSQL text can hold.
    """
    if not key:
        raise MalformedNotification("The notification has an empty key.")
    if "\x00" in key:
        raise MalformedNotification("The key holds a NUL character, which PostgreSQL text cannot.")
    try:
        length = len(key) if key.isascii() else len(key.encode())
    except UnicodeEncodeError as error:
        raise MalformedNotification("The key holds a lone surrogate.") from error
    if length > MAX_KEY_BYTES:
        raise MalformedNotification(f"The key has {length} bytes; S3 keys have at most {MAX_KEY_BYTES}.")
    return key


def display_name(key: str) -> str:
    """The name a file gets from its key: the last part, or the last but one when the key ends in a slash."""
    return key.rstrip("/").rpartition("/")[2] or key


def safe_file_name(name: str) -> str:
    """``name`` cleaned for use in a key: ASCII letters, digits, ``.``, ``_`` and ``-``, at most 100 characters.

    >>> safe_file_name("../Übung 1.pdf")
    'Ubung-1.pdf'
    >>> safe_file_name("🎉")
    'file'
    """
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    cleaned = _UNSAFE.sub("-", ascii_name).strip("-.")
    stem, dot, suffix = cleaned.rpartition(".")
    if dot and len(suffix) <= 16:
        return f"{stem[: 99 - len(suffix)]}.{suffix}"
    return cleaned[:100] or "file"


def upload_key(owner_id: UUID, file_id: UUID, name: str) -> str:
    """The key of an upload made through the API. The file id makes it unique, so two uploads never share a key."""
    return f"{owner_id}/{file_id}/{safe_file_name(name)}"
