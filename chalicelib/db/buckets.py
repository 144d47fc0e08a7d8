"""Buckets that were adopted."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chalicelib.db.models import Bucket, File


def add_bucket(session: Session, name: str, now: datetime) -> bool:
    """Note that a bucket is adopted; returns False if it was before."""
    row = insert(Bucket).values(name=name, adopted_at=now).on_conflict_do_nothing().returning(Bucket.name)
    return session.scalar(row) is not None


def adopted_buckets(session: Session) -> Sequence[str]:
    """All of them, by name."""
    return session.scalars(select(Bucket.name).order_by(Bucket.name)).all()


def adopted_among(session: Session, names: Collection[str]) -> set[str]:
    """Those of these buckets that were adopted."""
    return set(session.scalars(select(Bucket.name).where(Bucket.name.in_(names))))


def has_files(session: Session, name: str) -> bool:
    """Whether there are files of this bucket."""
    return session.scalar(select(File.id).where(File.bucket == name).limit(1)) is not None
