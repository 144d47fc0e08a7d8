"""How much an answer may read that isn't asked to be exact."""

from chalicelib.db.bounds import Bounds
from chalicelib.settings import Settings


def bounds_of(settings: Settings) -> Bounds:
    """The bounds that are configured."""
    return Bounds(settings.ranked_files, settings.counted_files, settings.index_seconds)
