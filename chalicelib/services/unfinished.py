"""Multipart uploads that go on: what S3 holds of them counts before they are complete.

Where a size was announced, it is reserved from the beginning, and the parts' lengths are signed. Otherwise nothing but S3 knows
how large the parts are. So they are measured: when further ones are signed, and by the clock.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from chalicelib.db.file_queries import find_file
from chalicelib.db.models import File, Upload
from chalicelib.errors import AgainstPolicy, LandfallError, NotFound, OverQuota
from chalicelib.services import Transaction
from chalicelib.services.arrivals import OpenUpload
from chalicelib.services.pending import abort_parts, check_settled, policies_of
from chalicelib.services.reaping import give_up
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore


def reserve_parts(
    transaction: Transaction, store: ObjectStore, options: Settings, found: OpenUpload, more: int = 0
) -> None:
    """Reserve what S3 holds of an upload, and ``more`` bytes that are about to come, if anybody limits its owner's bytes.

    Raises:
        AgainstPolicy, OverQuota: it is too much by now.
    """
    file, upload = found.file, found.upload
    with transaction() as session:
        policies = policies_of(session, options, UUID(file["owner_id"]), file["session_id"])
    if all(policy.limits.max_bytes is None and policy.limits.max_file_bytes is None for policy in policies):
        return
    size = _held(store, *found.place) + more
    with transaction() as session:
        # What is reserved stays so: parts that were counted a moment ago may be an object by now.
        if size > (session.scalar(select(File.reserved).where(File.id == upload.file_id)) or 0):
            check_settled(session, options, file, size, upload.media_type)


def measure_unfinished(
    transaction: Transaction, store: ObjectStore, options: Settings, now: datetime, most: int
) -> list[tuple[UUID, str]]:
    """Measure up to ``most`` uploads whose parts may be larger than was announced, in no order. Those that are too large by now
    are aborted; returns their ids, with the reasons."""
    aborted: list[tuple[UUID, str]] = []
    with transaction() as session:
        due = _due(session, most)
    for file_id in due:
        with transaction() as session:
            file, upload = find_file(session, file_id, None), session.get(Upload, file_id)
        if file is None or upload is None or file["state"] != "pending" or file["owner_id"] is None:
            continue
        try:
            reserve_parts(transaction, store, options, OpenUpload(file, upload))
        except (AgainstPolicy, OverQuota) as error:
            abort_parts(store, file)
            give_up(transaction, file_id, str(error), now)
            aborted.append((file_id, str(error)))
        except LandfallError:
            continue  # S3 doesn't answer: the next time
    return aborted


def _due(session: Session, most: int) -> Sequence[UUID]:
    """Also those of clients that sign for themselves: such a one may have begun several for one file."""
    unbounded = or_(Upload.size.is_(None), Upload.client_key.is_not(None))
    due = select(Upload.file_id).join(File, File.id == Upload.file_id)
    due = due.where(Upload.method == "multipart", Upload.closed_at.is_(None), unbounded, File.state == "pending")
    return session.scalars(due.order_by(func.random()).limit(most)).all()


def _held(store: ObjectStore, bucket: str, key: str) -> int:
    """Bytes of all parts of all multipart uploads to a key."""
    held = 0
    for upload_id in store.multipart.list_ids(bucket, key):
        try:
            held += sum(part.size for part in store.multipart.list_parts(bucket, key, upload_id))
        except NotFound:
            continue  # completed or aborted in this moment
    return held
