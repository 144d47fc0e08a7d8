"""How a large upload is cut into parts.

S3's limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
"""

MIB = 1024 * 1024
MAX_PARTS = 10_000
MIN_PART_BYTES = 5 * MIB
MAX_PART_BYTES = 5 * 1024 * MIB
MAX_OBJECT_BYTES = 5 * 1024**4
# The largest object that one PUT, one POST or one CopyObject can store.
MAX_SINGLE_BYTES = 5 * 1024**3
# Above this size, sending everything again after a failure costs more than sending parts. It is Uppy's default, too.
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
    """Bytes of each part but the last if Uppy cuts the file and has no `getChunkSize`.

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
