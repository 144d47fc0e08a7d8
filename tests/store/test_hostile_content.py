"""Damaged and hostile objects cost no more than the budget of an inspection."""

import struct
import tarfile
import time
import tracemalloc
import zlib
from collections.abc import Callable
from random import Random

import pytest

from chalicelib.store.inspection.content import examine
from chalicelib.store.inspection.ranged import BUDGET_BYTES, Exhausted, RangedFile
from tests.support.samples import MIB, SAMPLES, Counted, pdf


@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_objects_cost_no_more_than_the_budget(name: str) -> None:
    sample, random = SAMPLES[name](), Random(name)
    for _ in range(40):
        data = bytearray(sample)
        for _ in range(random.randint(1, 12)):
            at = random.randrange(len(data))
            data[at : at + random.choice([1, 1, 2, 4, 8])] = random.choice(
                [random.randbytes(random.randint(0, 8)), b"\xff" * 4, bytes(4), data[at // 2 : at // 2 + 16]]
            )
        if random.random() < 0.3:
            del data[random.randrange(len(data)) :]

        assert_cheap(bytes(data))


def assert_cheap(data: bytes) -> None:
    fetch = Counted(data)
    began = time.process_time()
    examine(fetch, len(data))
    assert fetch.fetched <= BUDGET_BYTES
    assert time.process_time() - began < 6, "a bound on loops, not a measurement"


def bomb_pdf() -> bytes:
    """A table of objects that says that it swells to 500 MB."""
    stream = zlib.compress(bytes(500_000), 9) * 50
    head = b"%PDF-1.7\n1 0 obj\n<</Type/XRef/Size 9/W[1 4 2]/Root 1 0 R/Filter[/FlateDecode/FlateDecode]/Length "
    body = head + str(len(stream)).encode() + b">>\nstream\n" + stream + b"\nendstream\nendobj\nstartxref\n9\n%%EOF"
    return body


def many_boxes() -> bytes:
    return struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + struct.pack(">I4s", 8, b"free") * 200_000


def deep_boxes() -> bytes:
    return struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + struct.pack(">I4s", 0, b"moov") * 50_000


def endless_ebml() -> bytes:
    return b"\x1aE\xdf\xa3\x80" + b"\x18\x53\x80\x67\xff" + b"\xec\x80" * 200_000


def pax_bomb() -> bytes:
    data = b"9" * 800_000
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(data)
    return info.tobuf() + data + bytes(1024)


def zip_that_claims_everything() -> bytes:
    return b"PK\3\4" + bytes(100) + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)


def endless_ifds() -> bytes:
    """EXIF whose directory leads to itself."""
    tiff = (
        b"II*\0"
        + struct.pack("<I", 8)
        + struct.pack("<H", 1)
        + struct.pack("<HHI", 0x8769, 4, 1)
        + struct.pack("<I", 8)
    )
    exif = b"Exif\0\0" + tiff + struct.pack("<I", 8)
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + bytes(100)


def many_places() -> bytes:
    """A WebP, each of whose EXIF entries leads to a directory of many others, each of many values."""
    count = 400
    place = 8 + 2 + 12 * count + 4
    tiff = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", count)
    tiff += struct.pack("<HHII", 0x8825, 4, 1, place) * count + struct.pack("<I", 0)
    tiff += (
        struct.pack("<H", count) + struct.pack("<HHII", 0x0002, 3, 999, 8) * count + struct.pack("<I", 0) + bytes(2000)
    )
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x08" + bytes(9)
    webp = b"WEBP" + extended + b"EXIF" + struct.pack("<I", len(tiff)) + tiff + bytes(len(tiff) % 2)
    return b"RIFF" + struct.pack("<I", len(webp)) + webp


def ogg_of_comments() -> bytes:
    page = b"OggS\0\2" + bytes(20) + b"\xff" + b"\xff" * 255 + b"\1vorbis" + bytes(255 * 255 - 7)
    return page * 20


@pytest.mark.parametrize(
    "hostile",
    [
        bomb_pdf,
        many_boxes,
        deep_boxes,
        endless_ebml,
        pax_bomb,
        zip_that_claims_everything,
        endless_ifds,
        many_places,
        ogg_of_comments,
    ],
)
def test_a_hostile_object_costs_little_memory(hostile: Callable[[], bytes]) -> None:
    data = hostile()
    tracemalloc.start()

    assert_cheap(data)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * MIB


def test_a_failure_of_the_store_is_not_taken_for_a_broken_object() -> None:
    def fetch(start: int, stop: int) -> bytes:
        if start > 0:
            raise ConnectionError("gone")
        return pdf()[start:stop]

    with pytest.raises(ConnectionError):
        examine(fetch, 10 * MIB)


def test_no_limit_of_a_ranged_file_can_be_exceeded() -> None:
    asked: list[tuple[int, int]] = []

    def fetch(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return bytes(stop - start)

    file = RangedFile(fetch, 100 * MIB)
    with pytest.raises(Exhausted):
        file.read()
    assert asked == []

    for place in range(64):
        file.at(place * 17_000 * 4, 1)
    with pytest.raises(Exhausted):
        file.at(90 * MIB, 1)
    assert sum(stop - start for start, stop in asked) <= BUDGET_BYTES
    assert (file.at(100 * MIB + 5, 1), file.at(5, 3)) == (b"", bytes(3))
    with pytest.raises(OSError, match="before"):
        file.seek(-1)

    endless = RangedFile(fetch, 10)
    with pytest.raises(Exhausted):
        while True:
            endless.seek(0)
