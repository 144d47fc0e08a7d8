"""Multipart uploads that go on: what S3 holds of them counts before they are complete.

Where a size was announced, it is reserved from the beginning, and the parts' lengths are signed. Otherwise nothing but S3 knows
how large the parts are. So they are measured: when further ones are signed, and by the clock.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from chalicelib.db.file_queries import find_file
from chalicelib.db.models import File, Upload
from chalicelib.errors import AgainstPolicy, LandfallError, NotFound, OverQuota
from chalicelib.services import Transaction
from chalicelib.services.arrivals import OpenUpload, record_if_there
from chalicelib.services.pending import abort_all, abort_parts, check_settled, policies_of
from chalicelib.services.reaping import give_up
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore


def reserve_parts(
    transaction: Transaction,
    store: ObjectStore,
    options: Settings,
    found: OpenUpload,
    numbers: Collection[int] = (),
    bytes_each: int = 0,
) -> None:
    """Reserve what S3 holds of an upload if anybody limits its owner's bytes, and the parts ``numbers`` that are about to come.

    This bounds what one call asks for, not what several sign before anything comes: that is measured afterwards.

    Raises:
        AgainstPolicy, OverQuota: it is too much by now.
    """
    file, upload = found.file, found.upload
    with transaction() as session:
        policies = policies_of(session, options, UUID(file["owner_id"]), file["session_id"])
    if all(policy.limits.max_bytes is None and policy.limits.max_file_bytes is None for policy in policies):
        return
    size = _held(store, *found.place, without=numbers) + len(numbers) * bytes_each
    with transaction() as session:
        # What is reserved stays so: parts that were counted a moment ago may be an object by now.
        if size > (session.scalar(select(File.reserved).where(File.id == upload.file_id)) or 0):
            check_settled(session, options, file, size, upload.media_type)


def measure_unfinished(
    transaction: Transaction, store: ObjectStore, options: Settings, now: datetime, most: int
) -> list[tuple[UUID, str]]:
    """Measure up to ``most`` uploads whose parts may be larger than was announced, each owner's in turn. Those that are too large
    by now are aborted, and so are further ones of a file that is stored; returns the ids of the former, with the reasons."""
    aborted: list[tuple[UUID, str]] = []
    with transaction() as session:
        due = _due(session, options, now, most)
    for file_id in due:
        with transaction() as session:
            file, upload = find_file(session, file_id, None), session.get(Upload, file_id)
        if file is None or upload is None or file["owner_id"] is None:
            continue
        try:
            if file["state"] == "stored":
                abort_all(store, file["bucket"], file["key"])
            if file["state"] != "pending":
                continue
            if reason := _why_too_large(transaction, store, options, OpenUpload(file, upload)):
                abort_parts(store, file)
                # Only now: an upload that was completed in this moment is either seen, or too late.
                if record_if_there(transaction, store, file, now) is None:
                    give_up(transaction, file_id, reason, now)
                    aborted.append((file_id, reason))
        except LandfallError:
            continue  # S3 doesn't answer: the next time
    return aborted


def _why_too_large(transaction: Transaction, store: ObjectStore, options: Settings, found: OpenUpload) -> str | None:
    try:
        reserve_parts(transaction, store, options, found)
    except (AgainstPolicy, OverQuota) as error:
        return str(error)
    return None


def _due(session: Session, options: Settings, now: datetime, most: int) -> Sequence[UUID]:
    """Also those of clients that sign for themselves: such a one may have begun several for one file, and its links to them last
    beyond the completion of one."""
    unbounded = or_(Upload.size.is_(None), Upload.client_key.is_not(None))
    links_last = File.stored_at > now - timedelta(seconds=2 * options.link_seconds)
    open_or_new = or_(
        and_(Upload.closed_at.is_(None), File.state == "pending"),
        and_(Upload.client_key.is_not(None), File.state == "stored", links_last),
    )
    turn = func.row_number().over(partition_by=File.owner_id, order_by=func.random())
    due = select(Upload.file_id).join(File, File.id == Upload.file_id)
    due = due.where(Upload.method == "multipart", unbounded, open_or_new)
    return session.scalars(due.order_by(turn).limit(most)).all()


def _held(store: ObjectStore, bucket: str, key: str, without: Collection[int]) -> int:
    """Bytes of all parts of all multipart uploads to a key, without those of these numbers: they are sent again."""
    held = 0
    for upload_id in store.multipart.list_ids(bucket, key):
        try:
            held += sum(
                part.size for part in store.multipart.list_parts(bucket, key, upload_id) if part.number not in without
            )
        except NotFound:
            continue  # completed or aborted in this moment
    return held
