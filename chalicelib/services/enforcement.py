"""Policies that can be judged only when the bytes are there: their type, and a size that nobody had announced.

It follows inspection, in the same schedule, and can be repeated. An object that a policy refuses is deleted as its owner would
delete it: in a versioned bucket it can still be brought back by an operator.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from chalicelib.catalog.limits import check_file
from chalicelib.db.inspection_queue import Finding
from chalicelib.db.models import File, Upload, Usage
from chalicelib.errors import AgainstPolicy, OverQuota
from chalicelib.services import Transaction
from chalicelib.services.files import delete_found
from chalicelib.services.pending import Policy, check_quotas, policies_of, refuse
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore


def enforce(
    transaction: Transaction,
    store: ObjectStore,
    options: Settings,
    findings: Sequence[Finding],
    clock: Callable[[], datetime],
) -> list[tuple[UUID, str]]:
    """Delete the files among ``findings`` that a policy refuses; returns their ids with the reasons.

    The reason is committed first: whoever asks meanwhile is told, and a deletion that fails is tried by the next inspection.
    """
    names = [(finding.claim.bucket, finding.claim.key) for finding in findings if finding.inspection]
    if not names:
        return []
    refused: list[tuple[UUID, str]] = []
    with transaction() as session:
        for file in _judged(session, names):
            if reason := _refusal(session, options, file):
                refuse(session, file.id, reason, clock())
                refused.append((file.id, reason))
    for file_id, _ in refused:
        delete_found(transaction, store, file_id, clock())
    return refused


def _judged(session: Session, names: Sequence[tuple[str, str]]) -> Sequence[File]:
    """The files with owners among these, the newest first, each with its owner's usage locked."""
    found = select(File).where(
        tuple_(File.bucket, File.key).in_(names), File.state == "stored", File.owner_id.is_not(None)
    )
    files = session.scalars(found.order_by(File.id.desc())).all()
    owners = {file.owner_id for file in files}
    if owners:
        locked = select(Usage).where(Usage.owner_id.in_(owners)).order_by(Usage.owner_id, Usage.session_id)
        session.execute(locked.with_for_update())
    return files


def _refusal(session: Session, options: Settings, file: File) -> str | None:
    assert file.owner_id is not None
    policies = policies_of(session, options, file.owner_id, file.session_id)
    if file.is_mismatch and any(policy.limits.refuse_mismatch for policy in policies):
        return f"It was declared to be {file.media_type}, but its bytes are {file.detected_media_type}."
    upload = session.get(Upload, file.id)
    if upload is None or upload.size is not None:
        return None
    return _refused_size(session, file, policies)


def _refused_size(session: Session, file: File, policies: Sequence[Policy]) -> str | None:
    try:
        check_file([(policy.whose, policy.limits) for policy in policies], file.size, file.media_type)
        check_quotas(session, policies, file.owner_id)  # type: ignore[arg-type]
    except (AgainstPolicy, OverQuota) as error:
        return str(error)
    return None


