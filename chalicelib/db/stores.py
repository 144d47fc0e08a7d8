"""What probes found out about object stores, so that not every process tries it again."""

from dataclasses import asdict, fields

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chalicelib.catalog.objects import Guarantees, Probed
from chalicelib.db.models import Store


def find_probed(session: Session, endpoint: str, bucket: str) -> Probed | None:
    """What the last probe found out; None if there was none, or if it didn't try all that is tried today."""
    store = session.scalar(select(Store).where(Store.endpoint == endpoint, Store.bucket == bucket))
    if store is None or store.guarantees.keys() != {one.name for one in fields(Guarantees)}:
        return None
    return Probed(Guarantees(**store.guarantees), store.probed_at, store.problem)


def save_probed(session: Session, endpoint: str, bucket: str, probed: Probed) -> None:
    """Keep what a probe found out, in place of the one before."""
    found = {"guarantees": asdict(probed.guarantees), "problem": probed.problem, "probed_at": probed.at}
    row = insert(Store).values(endpoint=endpoint, bucket=bucket, **found)
    session.execute(row.on_conflict_do_update(index_elements=[Store.endpoint, Store.bucket], set_=found))
