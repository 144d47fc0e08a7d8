"""Claims on files while S3 works on their versions: a file that is being restored must not be purged at the same time."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from chalicelib.db import claims
from chalicelib.services.context import Transaction

# How long a claim lasts if its process dies: longer than any function that claims files may run (`work`, 10 minutes).
CLAIM = timedelta(minutes=11)


def claim_files(tx: Transaction, file_ids: Collection[UUID], mine: datetime | None = None) -> set[UUID]:
    """Claim those of these files that nobody else has claimed; returns which they are.

    The claim lasts until `release_files`, or for `CLAIM`. ``mine``: when the claim ends that an earlier process has
    made for the same job.
    """
    return claims.claim_files(tx.session, file_ids, tx.now, tx.now + CLAIM, mine)


def release_files(tx: Transaction, file_ids: Collection[UUID]) -> None:
    """Release claimed files."""
    claims.release_files(tx.session, file_ids)
