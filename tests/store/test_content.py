"""What objects tell of themselves, by type."""

import gzip
import io
import struct
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from pypdf import PdfWriter

from chalicelib.store.inspection.content import examine, examine_bytes
from tests.support.samples import MIB, PNG, Counted, jpeg, media, pdf, tarred, webp, zipped


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (PNG, {"detected_media_type": "image/png", "width": 2, "height": 3}),
        ("é".encode() * 10, {"detected_media_type": "text/plain", "text": {"encoding": "utf-8"}}),
        (b"\x00\x01\x02", {}),
        (b"", {}),
    ],
)
def test_the_first_bytes_tell_type_and_size(data: bytes, found: dict[str, Any]) -> None:
    assert examine_bytes(data) == found


@pytest.mark.parametrize("image", [jpeg, webp])
def test_an_image_tells_size_orientation_and_camera_but_not_its_place(image: Callable[[], bytes]) -> None:
    found = examine_bytes(image())
    assert (found["width"], found["height"], found["orientation"]) == (40, 30, 6)
    assert found["exif"] == {"make": "Leica", "model": "M11 Mono", "taken": "2026:05:01 12:00:00", "iso": "400"}

    data = image()
    kept = examine(Counted(data), len(data), keep_place=True)
    assert kept["exif"]["latitude"] == "[41, 54, 10]"


def test_a_broken_picture_writes_nothing_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
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
    fetch = Counted(data)

    found = examine(fetch, len(data))
    assert found["document"] == {"pages": 300, "title": "Übersicht 2026", "author": "Grace", "is_encrypted": False}
    assert fetch.fetched < 300_000


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
def test_audio_and_video_tell_length_and_codec(name: str, media_type: str, kind: str, codec: str) -> None:
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


def test_a_large_mp4_with_its_index_at_the_end_costs_little() -> None:
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
def test_a_zip_lists_its_entries(count: int) -> None:
    told = examine_bytes(zipped(count))["archive"]
    assert told["count"] == count if count else True
    assert [entry["size"] for entry in told.get("entries", [])] == list(range(min(count, 200)))
    assert told["is_complete"] == (count <= 200)

    if count:
        assert told["entries"][1] == {"name": "ordner/ü1.txt", "size": 1}


def test_a_tar_and_a_gzip_list_their_entries() -> None:
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
def test_a_text_tells_its_encoding_and_line_ends(data: bytes, told: dict[str, Any]) -> None:
    found = examine_bytes(data)
    assert (found["detected_media_type"], found["text"]) == ("text/plain", told)


def test_binary_bytes_are_not_taken_for_a_text() -> None:
    assert "text" not in examine_bytes(bytes(range(1, 256)) * 100)
    assert examine_bytes(("ä" * 10_000).encode())["detected_media_type"] == "text/plain"
