"""How a large upload is cut into parts.

S3's limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
"""

MIB = 1024 * 1024
MAX_PARTS = 10_000
MIN_PART_BYTES = 5 * MIB
MAX_PART_BYTES = 5 * 1024 * MIB
MAX_OBJECT_BYTES = 5 * 1024**4
# The most that one PUT, one POST or one CopyObject takes.
MAX_SINGLE_BYTES = 5 * 1024**3
# Above this an upload that breaks off costs more than a plan of parts does; Uppy's default, too.
MULTIPART_FROM_BYTES = 100 * MIB
_USUAL_PART_BYTES = 16 * MIB


def part_size(size: int) -> int:
    """Bytes of each part but the last, in whole MiB, so that 10,000 parts hold ``size``.

    >>> part_size(200 * MIB) // MIB
    16
    >>> part_size(MAX_OBJECT_BYTES) // MIB
    525
    """
    least = -(-size // MAX_PARTS)
    return max(_USUAL_PART_BYTES, -(-least // MIB) * MIB)


def uppys_part_size(size: int) -> int:
    """Bytes of each part but the last as Uppy cuts a file, unless it is told otherwise (`getChunkSize`).

    >>> uppys_part_size(200 * MIB) // MIB
    5
    """
    return max(MIN_PART_BYTES, -(-size // MAX_PARTS))


def part_count(size: int, part_bytes: int) -> int:
    """Parts that ``size`` bytes make; an empty object is one empty part."""
    return max(1, -(-size // part_bytes))


def bytes_of_part(number: int, size: int, part_bytes: int) -> int:
    """Bytes of the part ``number`` (1 is the first); 0 or less if there is no such part."""
    return min(part_bytes, size - (number - 1) * part_bytes)
