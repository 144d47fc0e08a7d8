"""Small files of many types, and what is read of them."""

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, NameObject

_MEDIA = Path(__file__).parents[1] / "fixtures" / "media"

MIB = 1024 * 1024

# Two pixels wide, three high.
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000020000000308060000004c9c9a5c")


class Counted:
    """Bytes that count how many of them are fetched."""

    def __init__(self, data: bytes) -> None:
        self._data, self.fetched = data, 0

    def __call__(self, start: int, stop: int) -> bytes:
        self.fetched += stop - start
        return self._data[start:stop]


def exif_tiff(place: bool = True) -> bytes:
    """A TIFF header with orientation, maker, model and, below, when and where: as cameras write it, little endian."""

    def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
        return struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")

    at = {"make": 0x100, "model": 0x120, "exif": 0x140, "gps": 0x180, "taken": 0x1C0, "lat": 0x1E0}
    main = [
        entry(0x010F, 2, 6, struct.pack("<I", at["make"])),
        entry(0x0110, 2, 9, struct.pack("<I", at["model"])),
        entry(0x0112, 3, 1, struct.pack("<H", 6)),
        entry(0x8769, 4, 1, struct.pack("<I", at["exif"])),
    ]
    if place:
        main.append(entry(0x8825, 4, 1, struct.pack("<I", at["gps"])))
    data = bytearray(b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(main)) + b"".join(main) + bytes(4))
    data = data.ljust(0x200, b"\0")
    data[at["make"] : at["make"] + 6] = b"Leica\0"
    data[at["model"] : at["model"] + 9] = b"M11 Mono\0"
    exif = [entry(0x9003, 2, 20, struct.pack("<I", at["taken"])), entry(0x8827, 3, 1, struct.pack("<H", 400))]
    data[at["exif"] : at["exif"] + 2 + 24 + 4] = struct.pack("<H", 2) + b"".join(exif) + bytes(4)
    gps = [entry(1, 2, 2, b"N\0"), entry(2, 5, 3, struct.pack("<I", at["lat"]))]
    data[at["gps"] : at["gps"] + 2 + 24 + 4] = struct.pack("<H", 2) + b"".join(gps) + bytes(4)
    data[at["taken"] : at["taken"] + 20] = b"2026:05:01 12:00:00\0"
    data[at["lat"] : at["lat"] + 24] = struct.pack("<6I", 41, 1, 54, 1, 10, 1)
    return bytes(data)


def jpeg() -> bytes:
    exif = b"Exif\0\0" + exif_tiff()
    app1 = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 30, 40, 3) + bytes(9)
    return b"\xff\xd8" + app1 + frame + b"\xff\xd9" + bytes(100)


def webp() -> bytes:
    exif = exif_tiff()
    chunks = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + struct.pack("<I", 39)[:3] + struct.pack("<I", 29)[:3]
    chunks += b"EXIF" + struct.pack("<I", len(exif)) + exif
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


@cache
def pdf(pages: int = 3, padding: int = 0) -> bytes:
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(100, 100)
    writer.add_metadata({"/Title": "Übersicht\n2026", "/Author": "Grace"})
    if padding:
        stream = DecodedStreamObject()
        stream.set_data(Random(1).randbytes(padding))
        writer.root_object[NameObject("/Padding")] = writer._add_object(stream)
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def zipped(count: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number in range(count):
            archive.writestr(f"ordner/ü{number}.txt", "x" * number)
    return target.getvalue()


def tarred(count: int, size: int = 10) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for number in range(count):
            info = tarfile.TarInfo(("long" * 40 + "/" if number == 1 else "") + f"{number}.txt")
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(size)))
    return target.getvalue()


def media(name: str) -> bytes:
    return (_MEDIA / name).read_bytes()


SAMPLES: dict[str, Callable[[], bytes]] = {
    "jpeg": jpeg,
    "webp": webp,
    "pdf": pdf,
    "zip": lambda: zipped(5),
    "tar": lambda: tarred(5),
    "gzip": lambda: gzip.compress(b"x" * 1000),
    "text": lambda: "Übersicht\r\n".encode() * 50,
    **{path.name: lambda path=path: path.read_bytes() for path in sorted(_MEDIA.iterdir())},
}
