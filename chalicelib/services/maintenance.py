"""Upkeep of the database that runs by the clock."""

from datetime import datetime

from sqlalchemy.orm import Session

from chalicelib.db.partitions import ensure_event_partitions


def make_partitions(session: Session, now: datetime) -> list[str]:
    """Make the event table's partitions of the coming months; returns the names of those that were missing."""
    return ensure_event_partitions(session.connection(), now)
