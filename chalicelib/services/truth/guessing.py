"""Where the catalogue knows no keys to cut a range at, as when a bucket is adopted, the store is asked what lies ahead.

One listed key behind the middle of what may be left says that there are keys behind it; none says that all are before it.
"""

from bisect import bisect_left

from chalicelib.catalog.audits import Audit
from chalicelib.db import audit_ranges
from chalicelib.db.audit_ranges import Range
from chalicelib.db.comparing import beyond
from chalicelib.services.context import Context
from chalicelib.services.truth.allowances import Allowance

_PROBES = 40
# Between these lie the characters of most keys.
_FIRST, _LAST = 0x1F, 0x7F
_END = 0x110000


def split_by_guess(ctx: Context, audit: Audit, allowance: Allowance) -> bool:
    """Cut another worker's range in two somewhere in what may be left of it; returns whether there was one to cut.

    Raises:
        StoreUnavailable, DatabaseUnavailable.
    """
    with ctx.transaction() as tx:
        ranges = audit_ranges.open_ranges(tx.session, audit.id)
    for part in ranges:
        key = _some_key_ahead(ctx, audit, part, allowance)
        if key is not None:
            with ctx.transaction() as tx:
                if audit_ranges.cut_range(tx.session, part.id, key):
                    return True
    return False


def _some_key_ahead(ctx: Context, audit: Audit, part: Range, allowance: Allowance) -> str | None:
    low, end = max(part.position, audit.prefix), part.until or beyond(audit.prefix)

    def key_above(text: str | None) -> str | None:
        if text is None or (end is not None and text >= end) or not allowance.is_left:
            return None
        allowance.spend(1)
        key = ctx.store.versions.first_key(audit.bucket, audit.prefix, text)
        return key if key is not None and (end is None or key < end) else None

    # How long a beginning what is left shares with the worker's place. Keys often begin alike for long, and to guess a middle
    # character by character would take a handful of requests for each of these.
    lengths = range(len(audit.prefix), len(low))
    shared = bisect_left(lengths, True, key=lambda length: key_above(beyond(low[: length + 1])) is not None)
    if lengths and shared == len(lengths):
        return None  # no more than keys that begin with the whole of this one
    beginning = low[: len(audit.prefix) + shared]
    high = min((text for text in (end, beyond(beginning)) if text is not None), default=None)
    for _ in range(_PROBES):
        middle = between(low, high)
        if middle is None:
            return None
        key = key_above(middle)
        if key is not None:
            return key
        high = middle
    return None


def between(low: str, high: str | None) -> str | None:
    """A text between two, about in the middle of what keys are usually made of; None if there is none to be guessed.

    ``high`` is None for no end. Texts are ordered by code points, as S3 orders keys.
    """
    place = 0
    while high is not None and place < min(len(low), len(high)) and low[place] == high[place]:
        place += 1
    ends = ord(high[place]) if high is not None and place < len(high) else None
    while place <= len(low):
        begins = ord(low[place]) if place < len(low) else _FIRST
        last = ends if ends is not None else _LAST if begins < _LAST - 1 else _END
        if last - begins > 1:
            middle = (begins + last) // 2
            if not 0xD800 <= middle < 0xE000:  # no text has these
                return low[:place] + chr(middle)
        place, ends = place + 1, None  # behind the same character
    return None
