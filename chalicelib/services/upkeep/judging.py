"""Judging uploads by what is known only once the bytes are there: their type, and a size that was not announced.

It runs by the clock, over uploads that have come and were inspected, until their links have ended. An object that a
policy refuses is deleted as its owner would delete it, and the file says why. In a versioned bucket S3 still holds it,
but its owner can't download it: a member gets no earlier version that a policy refuses (`policies.check_version`).

An upload whose inspection was given up is judged by what is known. If it is inspected after all, it is judged again,
because its bytes may turn out to be something else.
"""

from uuid import UUID

from chalicelib import telemetry
from chalicelib.catalog.files import File
from chalicelib.db import due_uploads, uploads
from chalicelib.db.files import find_file
from chalicelib.db.locks import lock_files
from chalicelib.db.scope import EVERYONE, Owner
from chalicelib.db.uploads import UploadRow
from chalicelib.errors import AgainstPolicy, LandfallError, OverQuota
from chalicelib.services.accounts.policies import Policies, policies_for
from chalicelib.services.context import Context, Transaction
from chalicelib.services.removal.deletion import delete_found


def judge_uploads(ctx: Context, limit: int) -> list[tuple[UUID, str]]:
    """Judge up to ``limit`` uploads that have come; returns the ids of the refused ones, with the reasons.

    The reason is committed first. So an owner who asks meanwhile can read it, and the next run tries a failed deletion
    again.
    """
    refused: list[tuple[UUID, str]] = []
    with ctx.transaction() as tx:
        due_uploads.pass_harmless(tx.session, types_are_limited=bool(tx.settings.media_types))
        due = due_uploads.uploads_to_judge(tx.session, limit)
    for file_id in ctx.for_a_while(due):
        with ctx.transaction() as tx:
            reason, rank = _judge(tx, file_id)
        try:
            if reason:
                delete_found(ctx, file_id, rank)
                refused.append((file_id, reason))
        except LandfallError as error:
            telemetry.log("warning", "a refused upload could not be deleted yet", file_id=file_id, error=error)
    return refused


def _judge(tx: Transaction, file_id: UUID) -> tuple[str | None, str]:
    """Why the file is refused (None if it isn't), and the rank of what was judged. The reason is noted for its owner."""
    lock_files(tx.session, [file_id])  # so that nothing else comes to its key meanwhile
    file, upload = find_file(tx.session, EVERYONE, file_id), uploads.find_upload(tx.session, EVERYONE, file_id)
    if file is None or upload is None or file.state != "stored" or file.owner_id is None:
        return None, ""
    policies = policies_for(tx, Owner(file.owner_id), file.session_id)
    reason = _unfit(file, policies) or _too_much(tx, file, upload, policies)
    if reason is None:
        uploads.change_upload(tx.session, file_id, judged_rank=file.rank)
    else:
        uploads.change_upload(tx.session, file_id, problem=reason)
    return reason, file.rank


def _unfit(file: File, policies: Policies) -> str | None:
    """Why a policy refuses the file, whatever other files there are."""
    if file.is_mismatch and policies.refuse_mismatch:
        return f"It was declared to be {file.media_type}, but its bytes are {file.detected_media_type}."
    try:
        policies.check_file(file.size, file.media_type)
    except AgainstPolicy as error:
        return str(error)
    return None


def _too_much(tx: Transaction, file: File, upload: UploadRow, policies: Policies) -> str | None:
    """Why the file exceeds a quota. It may be restored once it doesn't."""
    try:
        if upload.size != file.size:
            _check_with_older(tx, file, policies)
    except OverQuota as error:
        return str(error)
    return None


def _check_with_older(tx: Transaction, file: File, policies: Policies) -> None:
    """Refuse a file that exceeds a quota together with the older ones.

    If all files counted, each of two files that came at the same time could be refused because of the other.

    Raises:
        OverQuota: the file exceeds it.
    """
    try:
        policies.check_quotas(tx)
    except OverQuota:
        for policy in policies.policies:
            count, size = due_uploads.sum_older(tx.session, file.id, policy.session_id)
            policy.check_quota(count, size)
