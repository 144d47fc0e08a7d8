"""Length and tracks of Matroska and WebM files: EBML (RFC 8794), elements within elements; the ids are those of RFC 9559."""

import struct
from typing import Any

from chalicelib.store.inspection.ranged import RangedFile

_MASTERS = {0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0xE1}  # Segment, Info, Tracks, TrackEntry, Video, Audio
_TRACK_ENTRY = 0xAE
_ENDS = {0x1F43B675, 0x1C53BB6B}  # Cluster, Cues: what comes before them describes, what follows is the content
_NUMBERS = {
    0x2AD7B1: "scale",
    0x83: "type",
    0xB0: "width",
    0xBA: "height",
    0x9F: "channels",
    0x23E383: "frame_nanoseconds",
}
_FLOATS = {0x4489: "ticks", 0xB5: "sample_rate"}
_CODEC = 0x86
_KINDS = {1: "video", 2: "audio", 17: "subtitle"}
_MAX_ELEMENTS, _MAX_TRACKS, _DEEPEST = 2000, 16, 5
_USUAL_SCALE = 1_000_000  # nanoseconds a tick
_MAX_CODEC_BYTES = 64


def tracks_of(file: RangedFile) -> dict[str, Any]:
    """``duration`` in seconds (a live recording has none), and ``tracks``: kind, codec, size of pictures, channels, rate."""
    walk = _Walk(file)
    walk.through(0, file.size, walk.segment, 0)
    tracks = [_told(track) for track in walk.tracks if track.get("type") in _KINDS]
    found: dict[str, Any] = {"tracks": tracks}
    ticks = walk.segment.get("ticks")
    if ticks and 0 < ticks < 1e18:
        found["duration"] = round(ticks * (walk.segment.get("scale") or _USUAL_SCALE) / 1e9, 3)
    return found


def _told(track: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": _KINDS[track["type"]]}
    told |= {name: track[name] for name in ("codec", "width", "height", "channels") if track.get(name)}
    if rate := track.get("sample_rate"):
        told["sample_rate"] = int(rate) if 0 < rate < 1e9 else 0
    if track.get("frame_nanoseconds"):
        told["fps"] = round(1e9 / track["frame_nanoseconds"], 3)
    return told


class _Walk:
    def __init__(self, file: RangedFile) -> None:
        self._file = file
        self._elements_left = _MAX_ELEMENTS
        self.segment: dict[str, Any] = {}
        self.tracks: list[dict[str, Any]] = []

    def through(self, position: int, stop: int, into: dict[str, Any], depth: int) -> bool:
        """Read the elements of one master; False when the description is over."""
        while position < stop:
            self._elements_left -= 1
            head = self._file.at(position, 12)
            identifier, id_bytes = _vint(head, 0, keep_marker=True)
            length, length_bytes = _vint(head, id_bytes, keep_marker=False)
            if self._elements_left < 0 or not id_bytes or not length_bytes or identifier in _ENDS:
                return False
            first = position + id_bytes + length_bytes
            last = stop if length is None else min(first + length, stop)
            if identifier in _MASTERS and depth < _DEEPEST:
                if identifier == _TRACK_ENTRY:
                    if len(self.tracks) >= _MAX_TRACKS:
                        return False
                    self.tracks.append({})
                    into_here = self.tracks[-1]
                else:
                    into_here = into
                if not self.through(first, last, into_here, depth + 1):
                    return False
            else:
                self._leaf(identifier, first, last - first, into)
            position = last
        return True

    def _leaf(self, identifier: int | None, first: int, length: int, into: dict[str, Any]) -> None:
        if identifier in _NUMBERS and 0 < length <= 8:
            into[_NUMBERS[identifier]] = int.from_bytes(self._file.at(first, length), "big")
        elif identifier in _FLOATS and length in (4, 8):
            data = self._file.at(first, length)
            if len(data) == length:
                into[_FLOATS[identifier]] = struct.unpack(">f" if length == 4 else ">d", data)[0]
        elif identifier == _CODEC and 0 < length <= _MAX_CODEC_BYTES:
            text = self._file.at(first, length).rstrip(b"\0").decode("ascii", "replace")
            into["codec"] = "".join(character if character.isprintable() else "?" for character in text)


def _vint(data: bytes, offset: int, keep_marker: bool) -> tuple[int | None, int]:
    """A number of variable length and its bytes; (None, bytes) for "unknown", (None, 0) if there is none."""
    first = data[offset] if offset < len(data) else 0
    length = 9 - first.bit_length()
    if not first or offset + length > len(data):
        return None, 0
    value = int.from_bytes(data[offset : offset + length], "big")
    if keep_marker:
        return value, length
    value &= (1 << 7 * length) - 1
    return (None if value == (1 << 7 * length) - 1 else value), length
