"""What is in archives, without unpacking a byte of them: the directory of a zip, the headers of a tar, the name in a gzip.

Python's own modules read the whole directory of a zip at once, and take seconds for a hostile tar. Both formats are
simple.
"""

import struct
import tarfile
from typing import Any

from chalicelib.store.inspection.ranged import RangedFile

MAX_ENTRIES = 200
_MAX_NAME = 500
_END_BYTES = 22
_END_SEARCH_BYTES = 65_557
_DIRECTORY_BYTES = 256 * 1024
_TAR_BLOCK = 512
_TAR_LONG_NAMES = {b"L": "gnu", b"x": "pax", b"X": "pax"}
_TAR_OTHER_META = {b"g", b"K"}
_TAR_LONGEST_META = 64 * 1024
_TAR_WITHOUT_DATA = {b"1", b"2", b"3", b"4", b"5", b"6"}


def zip_of(file: RangedFile) -> dict[str, Any]:
    """``count`` of entries as the zip claims, and the first ``entries`` with name and size; ``is_complete`` if those are all."""
    start = max(0, file.size - _END_SEARCH_BYTES)
    tail = file.at(start, _END_SEARCH_BYTES)
    found = tail.rfind(b"PK\5\6")
    if found < 0 or found + _END_BYTES > len(tail):
        return {}
    count, length, offset = struct.unpack_from("<HII", tail, found + 10)
    end = start + found
    if count == 0xFFFF or 0xFFFFFFFF in (length, offset):
        count, length, offset, end = _zip64(file, end) or (count, length, offset, end)
    # Bytes before the zip, such as a program that unpacks it, shift all offsets.
    place = end - length
    if not 0 <= place <= file.size:
        return {}
    entries = _zip_entries(file.at(place, min(length, _DIRECTORY_BYTES)))
    return {"count": count, "entries": entries, "is_complete": len(entries) == count}


def _zip64(file: RangedFile, end: int) -> tuple[int, int, int, int] | None:
    locator = file.at(end - 20, 20) if end >= 20 else b""
    if locator[:4] != b"PK\6\7":
        return None
    place = struct.unpack_from("<Q", locator, 8)[0]
    record = file.at(place, 56) if place < file.size else b""
    if record[:4] != b"PK\6\6" or len(record) < 56:
        return None
    count, length, offset = struct.unpack_from("<QQQ", record, 32)
    return min(count, 2**63 - 1), length, offset, place


def _zip_entries(directory: bytes) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    position = 0
    while directory[position : position + 4] == b"PK\1\2" and len(entries) < MAX_ENTRIES:
        if position + 46 > len(directory):
            break
        flags = struct.unpack_from("<H", directory, position + 8)[0]
        size, name_length, extra, comment = struct.unpack_from("<IHHH", directory, position + 24)
        name = directory[position + 46 : position + 46 + name_length]
        # Bit 11 means UTF-8. Without it, the format knows only the character set of the IBM PC.
        entries.append(_entry(name.decode("utf-8" if flags & 0x800 else "cp437", "replace"), size))
        position += 46 + name_length + extra + comment
    return entries


def tar_of(file: RangedFile) -> dict[str, Any]:
    """The first ``entries`` with name and size; ``is_complete`` if those are all. Each costs a read of its header."""
    entries: list[dict[str, Any]] = []
    position, long_name, headers = 0, None, 0
    while position + _TAR_BLOCK <= file.size:
        header = file.at(position, _TAR_BLOCK)
        headers += 1
        if not header.strip(b"\0"):
            return {"entries": entries, "is_complete": True}
        if len(entries) >= MAX_ENTRIES or headers > 2 * MAX_ENTRIES:
            break
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
        except tarfile.HeaderError:
            break
        if info.size < 0:
            break
        position += _TAR_BLOCK
        if info.type in _TAR_LONG_NAMES or info.type in _TAR_OTHER_META:
            if info.size > _TAR_LONGEST_META:
                break
            if kind := _TAR_LONG_NAMES.get(info.type):
                long_name = _long_name(file.at(position, info.size), kind) or long_name
            data = info.size
        else:
            entries.append(_entry(long_name or info.name, info.size))
            long_name = None
            data = 0 if info.type in _TAR_WITHOUT_DATA else info.size
        position += -(-data // _TAR_BLOCK) * _TAR_BLOCK
    is_complete = position == file.size and bool(entries)
    return {"entries": entries, "is_complete": is_complete} if entries else {}


def _long_name(data: bytes, kind: str) -> str | None:
    """The name in GNU's or in pax's extra header, whose lines are ``<length> <keyword>=<value>``."""
    if kind == "gnu":
        return data.rstrip(b"\0").decode("utf-8", "replace")
    while data:
        length = data[:32].partition(b" ")[0]
        if not length.isdigit() or not 5 <= int(length) <= len(data):
            return None
        keyword, _, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        if keyword == b"path":
            return value.decode("utf-8", "replace")
        data = data[int(length) :]
    return None


def gzip_of(file: RangedFile) -> dict[str, Any]:
    """The one entry: the name that was packed, if it was kept, and its size, which the format knows up to 4 GiB only."""
    header = file.at(0, 1024)
    if len(header) < 10:
        return {}
    flags, position, name = header[3], 10, ""
    if flags & 0x04:
        position += 2 + int.from_bytes(header[10:12], "little")
    if flags & 0x08:
        name = header[position:].partition(b"\0")[0].decode("latin-1")
    size = int.from_bytes(file.at(max(0, file.size - 4), 4), "little")
    return {"entries": [_entry(name, size)], "is_complete": True}


def _entry(name: str, size: int) -> dict[str, Any]:
    return {"name": name.replace("\0", "")[:_MAX_NAME], "size": size}
