"""Versions without an id of their own: where versioning is suspended, the next put of a key takes its ``null`` version's place.

So to remove that version by its id may take an object of which the catalogue doesn't know yet. No condition of S3 helps: those of
deletions are about a key's current version only. So S3 is asked right before. What comes between answer and removal is lost.
"""

from chalicelib.catalog.objects import ListedVersion, Location
from chalicelib.errors import Conflict
from chalicelib.services.context import Context


def require_unreplaced(ctx: Context, location: Location, etag: str | None) -> None:
    """Check that a key's ``null`` version may be removed. ``etag`` is of the hidden object that it is known to be; None: a delete
    marker. If it is gone already, nothing is lost either.

    Raises:
        Conflict: something else is in its place by now. The catalogue is to be healed there. StoreUnavailable.
    """
    there = next((entry for entry in ctx.store.versions.of_key(*location) if not entry.version_id), None)
    if there is not None and not _is_known(there, etag):
        raise Conflict("Another client has changed the object at the file's key meanwhile, so it was not removed.")


def _is_known(there: ListedVersion, etag: str | None) -> bool:
    if there.is_marker or etag is None:
        return there.is_marker and etag is None
    # The same bytes may have been put again, but then they are current.
    return not there.is_latest and etag in ("", there.etag)
