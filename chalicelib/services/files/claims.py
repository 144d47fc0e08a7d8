"""Claims on files while S3 is at work on their versions: one that is being restored must not be purged at the same time."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from chalicelib.db import claims
from chalicelib.services.context import Transaction

# How long a claim lasts whose process died: longer than the function with the most time runs (`work`, 10 minutes).
CLAIM = timedelta(minutes=11)


def claim_files(tx: Transaction, file_ids: Collection[UUID], mine: datetime | None = None) -> set[UUID]:
    """Those of these files that nobody else holds; they are the caller's until `release_files`, or for `CLAIM`.

    ``mine``: until when a process before this one has claimed them, for the same job.
    """
    return claims.claim_files(tx.session, file_ids, tx.now, tx.now + CLAIM, mine)


def release_files(tx: Transaction, file_ids: Collection[UUID]) -> None:
    """Give files back."""
    claims.hold_files(tx.session, file_ids, None)


def hold_files(tx: Transaction, file_ids: Collection[UUID], until: datetime) -> None:
    """Have nobody touch files until then: what failed a moment ago is tried again later, and keeps no others waiting."""
    claims.hold_files(tx.session, file_ids, until)
