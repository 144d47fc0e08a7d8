"""Healing single keys: where something shows that an event was lost, S3 is asked what the key holds, at once."""

from collections.abc import Iterable

from chalicelib.catalog.changes import InspectionRequest
from chalicelib.catalog.objects import Location
from chalicelib.db.known_versions import unknown_of
from chalicelib.services.context import Context
from chalicelib.services.truth.second_looks import look_at, record_looks


def heal(ctx: Context, locations: Iterable[Location]) -> int:
    """Put right what the catalogue knows of these keys; returns how many changes were recorded.

    Raises:
        StoreUnavailable, DatabaseUnavailable.
    """
    wanted = list(dict.fromkeys(locations))
    if not wanted:
        return 0
    looks = look_at(ctx, wanted)
    ctx.in_transaction(lambda tx: record_looks(tx, looks))
    return sum(len(look.findings) for look in looks)


def heal_unknown(ctx: Context, requests: Iterable[InspectionRequest]) -> int:
    """The same for keys of which S3 told something about a version that the catalogue doesn't know: its put was lost, or is
    still on its way."""
    told = list(requests)
    if not told:
        return 0
    with ctx.transaction() as tx:
        unknown = unknown_of(tx.session, told)
    return heal(ctx, unknown)
