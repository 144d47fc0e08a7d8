"""What images say of themselves: size, orientation, and what the camera wrote (EXIF)."""

import logging
from typing import Any, BinaryIO, cast

from chalicelib.store.inspection.ranged import RangedFile

# What is kept of EXIF: a list of what may stay, not of what must go, since cameras write new things every year.
_KEPT = {
    "Image Make": "make",
    "Image Model": "model",
    "Image Software": "software",
    "Image DateTime": "changed",
    "EXIF DateTimeOriginal": "taken",
    "EXIF OffsetTimeOriginal": "taken_offset",
    "EXIF ExposureTime": "exposure_time",
    "EXIF FNumber": "f_number",
    "EXIF ISOSpeedRatings": "iso",
    "EXIF FocalLength": "focal_length",
    "EXIF LensModel": "lens",
    "EXIF Flash": "flash",
}
# Where it was taken: only if the installation asks for it.
_PLACE = {
    "GPS GPSLatitudeRef": "latitude_ref",
    "GPS GPSLatitude": "latitude",
    "GPS GPSLongitudeRef": "longitude_ref",
    "GPS GPSLongitude": "longitude",
    "GPS GPSAltitude": "altitude",
}
_ORIENTATION = "Image Orientation"
_MAX_TEXT = 200
_MAX_EXIF_BYTES = 256 * 1024
_MAX_CHUNKS = 64


def size_of(file: RangedFile) -> dict[str, Any]:
    """``width`` and ``height`` in pixels, as they are stored: `orientation` may turn them."""
    import imagesize  # saves 6 ms

    file.seek(0)
    width, height = imagesize.get(file, exif_rotation=False)
    if not (0 < width < 2**31 and 0 < height < 2**31):
        return {}
    return {"width": int(width), "height": int(height)}


def exif_of(file: RangedFile, keep_place: bool) -> dict[str, Any]:
    """``orientation`` (1 to 8, as EXIF counts) and ``exif``: camera, lens, exposure, time; the place only if asked for."""
    import exifread  # saves 7 ms

    logging.getLogger("exifread").disabled = True  # it writes to stderr about broken pictures
    chunk = _webp_chunk(file)
    file.seek(0)
    # Within limits, too: a directory of a few kilobytes may have exifread read another one for each of its entries.
    source = file if chunk is None else RangedFile(lambda start, stop: chunk[start:stop], len(chunk))
    # Without `details`, exifread skips maker notes and thumbnails, which are large and of no use here.
    tags = exifread.process_file(cast(BinaryIO, source), details=False, extract_thumbnail=False)
    kept = _KEPT | _PLACE if keep_place else _KEPT
    exif = {name: _plain(tags[tag]) for tag, name in kept.items() if tag in tags}
    found: dict[str, Any] = {"exif": {name: text for name, text in exif.items() if text}}
    values = getattr(tags.get(_ORIENTATION), "values", None)
    if values and isinstance(values[0], int) and 1 <= values[0] <= 8:
        found["orientation"] = values[0]
    return found


def _plain(tag: Any) -> str:
    return " ".join(str(tag.printable).replace("\0", " ").split())[:_MAX_TEXT]


def _webp_chunk(file: RangedFile) -> bytes | None:
    """The EXIF chunk of a WebP, which exifread 3.5 finds only if it begins as in a JPEG; None if there is none."""
    header = file.at(0, 30)
    has_exif = header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X" and len(header) > 20 and header[20] & 0x08
    position = 12
    for _ in range(_MAX_CHUNKS if has_exif else 0):
        chunk = file.at(position, 8)
        if len(chunk) < 8:
            return None
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"EXIF":
            return file.read(min(length, _MAX_EXIF_BYTES)).removeprefix(b"Exif\0\0")
        position += 8 + length + length % 2
    return None
