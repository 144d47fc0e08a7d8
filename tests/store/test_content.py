"""What objects tell of themselves, by type; and that hostile ones cost no more than the budget."""

import gzip
import io
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, NameObject

from chalicelib.catalog.media_types import disagree
from chalicelib.store.inspection.content import examine, examine_bytes
from chalicelib.store.inspection.ranged import BUDGET_BYTES, Exhausted, RangedFile

MEDIA = Path(__file__).parents[1] / "fixtures" / "media"
MIB = 1024 * 1024


# --- samples ----------------------------------------------------------------------------------------------------------


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
    return (MEDIA / name).read_bytes()


SAMPLES: dict[str, Callable[[], bytes]] = {
    "jpeg": jpeg,
    "webp": webp,
    "pdf": pdf,
    "zip": lambda: zipped(5),
    "tar": lambda: tarred(5),
    "gzip": lambda: gzip.compress(b"x" * 1000),
    "text": lambda: "Übersicht\r\n".encode() * 50,
    **{path.name: lambda path=path: path.read_bytes() for path in sorted(MEDIA.iterdir())},
}


# --- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [jpeg, webp])
def test_an_image_tells_size_orientation_and_camera_but_not_the_place(image: Callable[[], bytes]) -> None:
    found = examine_bytes(image())
    assert (found["width"], found["height"], found["orientation"]) == (40, 30, 6)
    assert found["exif"] == {"make": "Leica", "model": "M11 Mono", "taken": "2026:05:01 12:00:00", "iso": "400"}
    data = image()
    kept = examine(lambda start, stop: data[start:stop], len(data), keep_place=True)
    assert kept["exif"]["latitude"] == "[41, 54, 10]"


def test_a_broken_picture_is_told_of_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """The reader has a log of its own, which would go to stderr."""
    whole, chance = jpeg(), Random(1)
    for _ in range(200):
        broken = bytearray(whole)
        for _ in range(20):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        examine_bytes(bytes(broken[: chance.randrange(len(broken))]))
    assert caplog.records == []


def test_a_pdf_tells_pages_title_and_author_from_its_ends_alone() -> None:
    data = pdf(300, 5 * MIB)
    fetched = 0

    def fetch(start: int, stop: int) -> bytes:
        nonlocal fetched
        fetched += stop - start
        return data[start:stop]

    found = examine(fetch, len(data))
    assert found["document"] == {"pages": 300, "title": "Übersicht 2026", "author": "Grace", "is_encrypted": False}
    assert fetched < 300_000


def test_an_encrypted_pdf_tells_that_it_is() -> None:
    writer = PdfWriter(clone_from=io.BytesIO(pdf()))
    writer.encrypt("secret", algorithm="RC4-128")
    target = io.BytesIO()
    writer.write(target)
    assert examine_bytes(target.getvalue())["document"] == {"is_encrypted": True, "pages": 3}


@pytest.mark.parametrize(
    ("name", "media_type", "kind", "codec"),
    [
        ("a.mp3", "audio/mpeg", "audio", "mpeg"),
        ("a.flac", "audio/flac", "audio", "flac"),
        ("a.ogg", "audio/ogg", "audio", "vorbis"),
        ("a.opus", "audio/ogg", "audio", "opus"),
        ("a.wav", "audio/wav", "audio", "wav"),
        ("a.m4a", "audio/mp4", "audio", "mp4a"),
        ("a.mp4", "video/mp4", "video", "avc1"),
        ("start.mp4", "video/mp4", "video", "avc1"),
        ("a.mov", "video/quicktime", "video", "avc1"),
        ("a.mkv", "video/x-matroska", "video", "V_MPEG4/ISO/AVC"),
        ("a.webm", "video/webm", "video", "V_VP8"),
    ],
)
def test_sound_and_pictures_tell_length_and_codec(name: str, media_type: str, kind: str, codec: str) -> None:
    found = examine_bytes(media(name))
    assert found["detected_media_type"] == media_type
    told = found["media"]
    assert told["duration"] == pytest.approx(1, abs=0.15)
    assert told["bitrate"] > 0
    track = told["tracks"][0]
    assert (track["kind"], track["codec"]) == (kind, codec)
    if kind == "video":
        assert (track["width"], track["height"]) == (64, 48)
        assert track.get("fps", 10) == 10
    else:
        assert track["channels"] in (1, 2)
        assert track["sample_rate"] in (22_050, 48_000)


def test_an_mp4_with_its_index_at_the_end_of_many_megabytes_costs_little() -> None:
    data = media("a.mp4")
    start = data.index(b"mdat") - 4
    length = struct.unpack(">I", data[start : start + 4])[0]
    blown = data[:start] + struct.pack(">I4s", length + 50 * MIB, b"mdat") + data[start + 8 : start + length]
    tail = data[start + length :]
    size = len(blown) + 50 * MIB + len(tail)
    fetched = 0

    def fetch(first: int, stop: int) -> bytes:
        nonlocal fetched
        fetched += stop - first
        whole = [(0, blown), (size - len(tail), tail)]
        block = bytearray(stop - first)
        for place, part in whole:
            low, high = max(first, place), min(stop, place + len(part))
            if low < high:
                block[low - first : high - first] = part[low - place : high - place]
        return bytes(block)

    assert examine(fetch, size)["media"]["tracks"][0]["width"] == 64
    assert fetched < 200_000


@pytest.mark.parametrize("count", [0, 5, 2000])
def test_a_zip_tells_what_is_in_it(count: int) -> None:
    told = examine_bytes(zipped(count))["archive"]
    assert told["count"] == count if count else True
    assert [entry["size"] for entry in told.get("entries", [])] == list(range(min(count, 200)))
    assert told["is_complete"] == (count <= 200)
    if count:
        assert told["entries"][1] == {"name": "ordner/ü1.txt", "size": 1}


def test_a_tar_and_a_gzip_tell_what_is_in_them() -> None:
    told = examine_bytes(tarred(5))["archive"]
    assert [entry["name"] for entry in told["entries"]] == ["0.txt", "long" * 40 + "/1.txt", "2.txt", "3.txt", "4.txt"]
    assert (told["entries"][0]["size"], told["is_complete"]) == (10, True)
    many = examine_bytes(tarred(300))["archive"]
    assert (len(many["entries"]), many["is_complete"]) == (200, False)
    named = io.BytesIO()
    with gzip.GzipFile("report.txt", "wb", fileobj=named) as target:
        target.write(b"12345")
    assert examine_bytes(named.getvalue())["archive"]["entries"] == [{"name": "report.txt", "size": 5}]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"plain\n", {"encoding": "ascii", "line_ends": "lf"}),
        ("é\r\n".encode(), {"encoding": "utf-8", "line_ends": "crlf"}),
        ("é\r\nb\n".encode("utf-8-sig"), {"encoding": "utf-8-sig", "line_ends": "mixed"}),
        ("é\n".encode("utf-16"), {"encoding": "utf-16-le", "line_ends": "lf"}),
    ],
)
def test_a_text_tells_its_encoding(data: bytes, told: dict[str, Any]) -> None:
    found = examine_bytes(data)
    assert (found["detected_media_type"], found["text"]) == ("text/plain", told)


def test_bytes_that_are_no_text_are_not_taken_for_one_however_long() -> None:
    assert "text" not in examine_bytes(bytes(range(1, 256)) * 100)
    assert examine_bytes(("ä" * 10_000).encode())["detected_media_type"] == "text/plain"


@pytest.mark.parametrize(
    ("declared", "detected", "is_mismatch"),
    [
        ("image/png", "application/vnd.microsoft.portable-executable", True),
        ("image/png", "image/jpeg", True),
        ("application/pdf", "text/plain", True),
        ("text/html", "text/plain", False),
        ("application/json; charset=utf-8", "text/plain", False),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip", False),
        ("image/jpg", "image/jpeg", False),
        ("audio/webm", "video/webm", False),
        ("application/octet-stream", "application/zip", False),
        (None, "image/png", False),
        ("image/png", None, False),
    ],
)
def test_only_real_contradictions_are_mismatches(declared: str | None, detected: str | None, is_mismatch: bool) -> None:
    assert disagree(declared, detected) is is_mismatch


# --- hostile objects --------------------------------------------------------------------------------------------------


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


def assert_cheap(data: bytes) -> dict[str, Any]:
    fetched = 0

    def fetch(start: int, stop: int) -> bytes:
        nonlocal fetched
        fetched += stop - start
        return data[start:stop]

    began = time.process_time()
    found = examine(fetch, len(data))
    assert fetched <= BUDGET_BYTES
    assert time.process_time() - began < 6, "a bound on loops, not a measurement"
    return found


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
        ogg_of_comments,
    ],
)
def test_a_bomb_costs_nothing(hostile: Callable[[], bytes]) -> None:
    data = hostile()
    tracemalloc.start()
    assert_cheap(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * MIB


def test_a_store_that_fails_is_not_taken_for_a_broken_object() -> None:
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
