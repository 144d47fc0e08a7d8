"""Measuring multipart uploads that go on, if their size was not announced, or not signed."""

from datetime import timedelta
from uuid import UUID

from chalicelib.catalog.files import File
from chalicelib.db import due_uploads
from chalicelib.db.claims import is_claimed
from chalicelib.db.files import find_file
from chalicelib.db.scope import EVERYONE
from chalicelib.db.uploads import UploadRow, find_upload
from chalicelib.errors import AgainstPolicy, LandfallError, OverQuota
from chalicelib.services.context import Context
from chalicelib.services.upkeep.reaping import give_up
from chalicelib.services.uploads.completion import record_if_there
from chalicelib.services.uploads.parts import reserve_parts
from chalicelib.services.uploads.reservations import abort_parts


def measure_unfinished(ctx: Context, limit: int) -> list[tuple[UUID, str]]:
    """Measure up to ``limit`` uploads whose parts may be larger than was announced, each owner's in turn.

    An upload that is too large by now is aborted, and its file given up; so is a file to whose key too many were begun. If the
    file is stored already, all uploads to its key are aborted, unless it is claimed: a restore may copy in parts to that key.
    What there is no time for has its turn the next time.

    Returns:
        The ids of the files that were given up, with the reasons.
    """
    aborted: list[tuple[UUID, str]] = []
    with ctx.transaction() as tx:
        stored_after = tx.now - timedelta(seconds=2 * tx.settings.link_seconds)
        due = due_uploads.uploads_to_measure(tx.session, stored_after, tx.now, limit)
    for file_id in ctx.for_a_while(due):
        with ctx.transaction() as tx:
            file, upload = find_file(tx.session, EVERYONE, file_id), find_upload(tx.session, EVERYONE, file_id)
            is_busy = is_claimed(tx.session, file_id, tx.now)
        if file is None or upload is None or file.owner_id is None or is_busy:
            continue
        try:
            if reason := _measure(ctx, file, upload):
                aborted.append((file_id, reason))
        except LandfallError:
            continue  # S3 doesn't answer: it is measured the next time
    return aborted


def _measure(ctx: Context, file: File, upload: UploadRow) -> str | None:
    """Measure one upload; returns why it was given up, if it was."""
    if file.state == "stored":
        ctx.store.multipart.abort_all(*file.location, noted=None)
    if file.state != "pending":
        return None
    try:
        reserve_parts(ctx, file, upload)
    except (AgainstPolicy, OverQuota) as error:
        are_gone = abort_parts(ctx, file)
        # S3 is asked only now. An upload that a client completes at this moment is either seen, or it comes too late.
        if record_if_there(ctx, file.id, file.location) is None:
            give_up(ctx, file.id, str(error), are_gone=are_gone)
            return str(error)
    return None
