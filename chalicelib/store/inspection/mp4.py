"""Length and tracks of MP4, M4A and QuickTime files: ISO/IEC 14496-12, boxes within boxes.

No small library tells the codec and the size of the pictures, and only little of the format is needed here.
"""

import struct
from collections.abc import Iterator
from typing import Any

from chalicelib.store.inspection.ranged import RangedFile

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex"}
_KINDS = {b"vide": "video", b"soun": "audio", b"subt": "subtitle", b"sbtl": "subtitle", b"text": "subtitle"}
_MAX_BOXES, _MAX_TRACKS, _DEEPEST = 2000, 16, 6
_LEAF_BYTES = 256
_UNKNOWN_DURATIONS = {0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF}


def tracks_of(file: RangedFile) -> dict[str, Any]:
    """``duration`` in seconds, and ``tracks``: kind, codec (its four-character code), size of pictures, channels and rate."""
    walk = _Walk(file)
    walk.through(0, file.size, None, 0)
    found: dict[str, Any] = {"tracks": [track for track in walk.tracks if track.get("kind") in _KINDS.values()]}
    if walk.duration:
        found["duration"] = round(walk.duration, 3)
    for track in found["tracks"]:
        samples, seconds = track.pop("samples", None), track.pop("seconds", None)
        if track["kind"] == "video" and samples and seconds:
            track["fps"] = round(samples / seconds, 3)
    return found


class _Walk:
    def __init__(self, file: RangedFile) -> None:
        self._file = file
        self._boxes_left = _MAX_BOXES
        self._timescale = 0
        self.duration: float | None = None
        self.tracks: list[dict[str, Any]] = []

    def through(self, start: int, stop: int, track: dict[str, Any] | None, depth: int) -> None:
        for kind, first, last in self._boxes(start, stop):
            if kind == b"trak":
                if len(self.tracks) >= _MAX_TRACKS:
                    return
                self.tracks.append({})
                self.through(first, last, self.tracks[-1], depth + 1)
            elif kind in _CONTAINERS and depth < _DEEPEST:
                self.through(first, last, track, depth + 1)
            elif reader := _LEAVES.get(kind):
                reader(self, self._file.at(first, min(last - first, _LEAF_BYTES)), track)

    def _boxes(self, position: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
        """Type, first byte and end of the content of each box."""
        while position + 8 <= stop:
            self._boxes_left -= 1
            header = self._file.at(position, 16)
            if self._boxes_left < 0 or len(header) < 8:
                return
            length, kind = struct.unpack_from(">I4s", header)
            head = 8
            if length == 1 and len(header) == 16:
                length, head = struct.unpack_from(">Q", header, 8)[0], 16
            elif length == 0:
                length = stop - position
            if length < head:
                return
            yield kind, position + head, min(position + length, stop)
            position += length

    def movie_header(self, leaf: bytes, _track: dict[str, Any] | None) -> None:
        self._timescale, ticks = _times(leaf)
        if self._timescale and ticks not in _UNKNOWN_DURATIONS:
            self.duration = ticks / self._timescale

    def fragments_header(self, leaf: bytes, _track: dict[str, Any] | None) -> None:
        if len(leaf) >= 8 and self._timescale and not self.duration:
            ticks = struct.unpack_from(">Q" if leaf[0] and len(leaf) >= 12 else ">I", leaf, 4)[0]
            self.duration = ticks / self._timescale

    def media_header(self, leaf: bytes, track: dict[str, Any] | None) -> None:
        scale, ticks = _times(leaf)
        if track is not None and scale and ticks not in _UNKNOWN_DURATIONS:
            track["seconds"] = ticks / scale

    def handler(self, leaf: bytes, track: dict[str, Any] | None) -> None:
        # A QuickTime track has two handlers. The first is the media's; the other says where the data is.
        if track is not None:
            track.setdefault("kind", _KINDS.get(leaf[8:12], "other"))

    def sample_description(self, leaf: bytes, track: dict[str, Any] | None) -> None:
        if track is None or len(leaf) < 16:
            return
        track["codec"] = "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in leaf[12:16]).strip()
        if track.get("kind") == "video" and len(leaf) >= 44:
            track["width"], track["height"] = struct.unpack_from(">HH", leaf, 40)
        if track.get("kind") == "audio" and len(leaf) >= 44:
            track["channels"] = struct.unpack_from(">H", leaf, 32)[0]
            track["sample_rate"] = struct.unpack_from(">I", leaf, 40)[0] >> 16

    def sample_sizes(self, leaf: bytes, track: dict[str, Any] | None) -> None:
        if track is not None and len(leaf) >= 12:
            track["samples"] = struct.unpack_from(">I", leaf, 8)[0]


def _times(leaf: bytes) -> tuple[int, int]:
    """Ticks a second, and ticks, of a movie's or a track's media header; zeros if it is cut."""
    form, offset = (">IQ", 20) if leaf[:1] == b"\1" else (">II", 12)
    if len(leaf) < offset + struct.calcsize(form):
        return 0, 0
    scale, ticks = struct.unpack_from(form, leaf, offset)
    return scale, ticks


_LEAVES = {
    b"mvhd": _Walk.movie_header,
    b"mehd": _Walk.fragments_header,
    b"mdhd": _Walk.media_header,
    b"hdlr": _Walk.handler,
    b"stsd": _Walk.sample_description,
    b"stsz": _Walk.sample_sizes,
    b"stz2": _Walk.sample_sizes,
}
