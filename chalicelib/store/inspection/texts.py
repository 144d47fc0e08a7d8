"""How a text is written: its encoding and its line ends, from the first 64 KiB."""

import codecs
from typing import Any

from chalicelib.store.inspection.ranged import RangedFile

_BYTES = 64 * 1024
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def encoding_of(file: RangedFile) -> dict[str, Any]:
    """``encoding`` by Python's name, ``is_guess`` if the bytes fit it but don't prove it, and ``line_ends``."""
    data = file.at(0, _BYTES)
    found = _encoding(data, is_whole=len(data) == file.size)
    ends = {"crlf": data.count(b"\r\n"), "lf": data.count(b"\n"), "cr": data.count(b"\r")}
    ends = {"crlf": ends["crlf"], "lf": ends["lf"] - ends["crlf"], "cr": ends["cr"] - ends["crlf"]}
    kinds = [name for name, count in ends.items() if count]
    return found | ({"line_ends": kinds[0] if len(kinds) == 1 else "mixed"} if kinds else {})


def is_utf8(data: bytes, is_whole: bool) -> bool:
    """Whether ``data`` is UTF-8; the last character may be cut unless it ``is_whole``."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, is_whole)
    except UnicodeDecodeError:
        return False
    return True


def _encoding(data: bytes, is_whole: bool) -> dict[str, Any]:
    for mark, name in _MARKS:
        if data.startswith(mark):
            return {"encoding": name}
    if b"\0" in data:
        # Latin letters in UTF-16 have a zero in every other byte.
        low, high = data[0::2].count(0), data[1::2].count(0)
        if max(low, high) > len(data) / 5 and min(low, high) < len(data) / 40:
            return {"encoding": "utf-16-le" if high > low else "utf-16-be", "is_guess": True}
        return {}
    if data.isascii():
        return {"encoding": "ascii"}
    if is_utf8(data, is_whole):
        return {"encoding": "utf-8"}
    return {"encoding": "windows-1252", "is_guess": True}
