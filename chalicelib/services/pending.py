"""Files whose bytes are to come: their rows, and whether they may come at all."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from chalicelib.catalog.keys import upload_key
from chalicelib.catalog.limits import Limits, check_file, check_quota
from chalicelib.catalog.parts import part_size
from chalicelib.db.file_history import VersionPlace
from chalicelib.db.file_queries import FileDocument
from chalicelib.db.models import File, Upload, Usage, User
from chalicelib.db.models import Session as UploadSession
from chalicelib.errors import AgainstPolicy, NotFound
from chalicelib.ids import uuid7
from chalicelib.services.principals import Principal
from chalicelib.services.sessions import open_session
from chalicelib.settings import Settings

if TYPE_CHECKING:
    # botocore's surroundings take a while to import, and a list needs none of them.
    from chalicelib.store.client import ObjectStore

Method = Literal["put", "post", "multipart"]


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is said of a file before its bytes come. A session that isn't there yet is opened."""

    session_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file's object goes, how, and what it is to be: ``size`` (bytes) and the others are None if unknown."""

    file_id: UUID
    bucket: str
    key: str
    name: str
    method: Method
    media_type: str | None = None
    size: int | None = None
    sha256: str | None = None
    client_key: str | None = None
    part_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits, and whom they are for: a user's files all in all (``session_id`` ``""``), or those of one session."""

    whose: str
    session_id: str
    limits: Limits


def new_place(
    bucket: str,
    principal: Principal,
    name: str,
    now: datetime,
    method: Method = "put",
    media_type: str | None = None,
    size: int | None = None,
    sha256: str | None = None,
    client_key: str | None = None,
) -> Place:
    """A place of its own for a new file of the caller's."""
    file_id = uuid7(now)
    key = upload_key(principal.user_id, file_id, name)
    return Place(file_id, bucket, key, name, method, media_type, size, sha256, client_key)


def add_pending(
    session: Session,
    options: Settings,
    principal: Principal,
    said: Announcement,
    places: Sequence[Place],
    now: datetime,
) -> None:
    """Add ``pending`` rows for new files of the caller's, if its policies allow them.

    First the rows, then the look at the quota: the rows' trigger has added them to the owner's usage and locked that row,
    so that of uploads at the same time each sees all that were let in before it.

    Raises:
        AgainstPolicy: a file is too large or of a type that isn't allowed. OverQuota: there is no room.
    """
    if said.session_id is not None:
        open_session(session, principal, said.session_id, None, {}, {}, now)
    policies = policies_of(session, options, principal.user_id, said.session_id)
    for place in places:
        check_file([(policy.whose, policy.limits) for policy in policies], place.size, place.media_type)
    shared = {
        File.state: "pending",
        File.owner_id: principal.user_id,
        File.session_id: said.session_id,
        File.metadata_: said.metadata,
        File.tags: said.tags,
        File.created_at: now,
        File.updated_at: now,
    }
    rows = [
        {
            File.id: place.file_id,
            File.bucket: place.bucket,
            File.key: place.key,
            File.name: place.name,
            File.media_type: place.media_type,
            File.reserved: place.size or 0,
            **shared,
        }
        for place in places
    ]
    session.execute(insert(File).values(rows))
    session.execute(insert(Upload).values([_upload_row(options, principal, place, now) for place in places]))
    check_quotas(session, policies, principal.user_id)


def _upload_row(options: Settings, principal: Principal, place: Place, now: datetime) -> dict[Any, Any]:
    return {
        Upload.file_id: place.file_id,
        Upload.owner_id: principal.user_id,
        Upload.client_key: place.client_key,
        Upload.method: place.method,
        Upload.size: place.size,
        Upload.media_type: place.media_type,
        Upload.sha256: place.sha256,
        # Once and for all: who could cut a file anew at each part could send each part at its largest.
        Upload.part_size: (place.part_bytes or part_size(place.size or 0)) if place.method == "multipart" else None,
        Upload.expires_at: now + time_for_bytes(options, place.method, place.size),
        Upload.created_at: now,
    }


def time_for_bytes(options: Settings, method: str, size: int | None) -> timedelta:
    """How long the bytes may take to come: at least as long as the last link lasts that was signed for them.

    What is to come in one request and of no announced size is Uppy's as a rule, which doesn't say when S3 has refused it as
    too large: so it counts as abandoned soon after its link has ended. Should its bytes come all the same, the file is stored.
    """
    patience = options.upload_seconds
    if method != "multipart" and size is None:
        patience = min(patience, 2 * options.link_seconds)
    return timedelta(seconds=max(patience, options.link_seconds))


def policies_of(session: Session, options: Settings, owner_id: UUID, session_id: str | None) -> list[Policy]:
    """The policies for new files: the owner's, and the session's on top of it.

    What an operator set for a user replaces the deployment's defaults, one by one.
    """
    own = session.scalar(select(User.limits).where(User.id == owner_id)) or {}
    policies = [Policy("This user", "", Limits.of(_defaults(options) | own))]
    if session_id is not None:
        of_session = UploadSession.owner_id == owner_id, UploadSession.session_id == session_id
        document = session.scalar(select(UploadSession.limits).where(*of_session)) or {}
        policies.append(Policy(f"The session {session_id}", session_id, Limits.of(document)))
    return policies


def reserve_restore(session: Session, options: Settings, file: FileDocument, more: int) -> None:
    """Count ``more`` bytes for a file that is about to be restored, a deleted one also as a file, until `end_restores`.

    As in `add_pending`, the look at the quota comes after the change, which has locked the owner's usage.

    Raises:
        OverQuota: there is no room for it.
    """
    session.execute(update(File).where(File.id == UUID(file["id"])).values(restoring=max(0, more)))
    if file["owner_id"]:
        owner_id = UUID(file["owner_id"])
        check_quotas(session, policies_of(session, options, owner_id, file["session_id"]), owner_id)


def end_restores(session: Session, file_ids: Collection[UUID]) -> None:
    """What was reserved for restoring these files is free again, or counts as theirs."""
    session.execute(update(File).where(File.id.in_(file_ids), File.restoring.is_not(None)).values(restoring=None))


def check_quotas(session: Session, policies: Sequence[Policy], owner_id: UUID) -> None:
    """Refuse the state that this transaction has made.

    Raises:
        OverQuota: the owner, or one of its sessions, has too much by now.
    """
    found = session.execute(select(Usage.session_id, Usage.files, Usage.bytes).where(
        Usage.owner_id == owner_id, Usage.session_id.in_([policy.session_id for policy in policies])
    ))  # fmt: skip
    used = {row.session_id: row for row in found}
    for policy in policies:
        if row := used.get(policy.session_id):
            check_quota(policy.whose, policy.limits, row.files, row.bytes)


def check_settled(session: Session, options: Settings, file: FileDocument, size: int, media_type: str | None) -> None:
    """Refuse a pending file of the caller's whose size turns out only now; if it is let in, it is reserved.

    Raises:
        AgainstPolicy, OverQuota: see `add_pending`.
    """
    owner_id = UUID(file["owner_id"])
    policies = policies_of(session, options, owner_id, file["session_id"])
    check_file([(policy.whose, policy.limits) for policy in policies], size, media_type)
    session.execute(update(File).where(File.id == UUID(file["id"]), File.state == "pending").values(reserved=size))
    check_quotas(session, policies, owner_id)


def room_left(session: Session, policies: Sequence[Policy], owner_id: UUID, most: int) -> int:
    """Bytes that the next file may have by the policies and what is used already; at most ``most``, at least 0."""
    rooms = [most]
    for policy in policies:
        limits = policy.limits
        if limits.max_file_bytes is not None:
            rooms.append(limits.max_file_bytes)
        if limits.max_bytes is not None:
            used = select(Usage.bytes).where(Usage.owner_id == owner_id, Usage.session_id == policy.session_id)
            rooms.append(limits.max_bytes - (session.scalar(used) or 0))
    return max(0, min(rooms))


def forget(session: Session, file_ids: Sequence[UUID]) -> None:
    """Delete the rows of these files that are still pending. A file whose event has come already is kept; the event of its
    object's deletion will mark it deleted."""
    session.execute(delete(File).where(File.id.in_(file_ids), File.state == "pending"))


def abort_parts(store: "ObjectStore", file: FileDocument) -> None:
    """Throw away the parts of a pending file's multipart uploads: a client that signs for itself may have begun several."""
    if (file["upload"] or {}).get("method") == "multipart":
        abort_all(store, file["bucket"], file["key"])


def abort_all(store: "ObjectStore", bucket: str, key: str) -> None:
    """Abort every multipart upload to a key."""
    for multipart_id in store.multipart.list_ids(bucket, key):
        with suppress(NotFound):
            store.multipart.abort(bucket, key, multipart_id)


def check_version(
    session: Session, options: Settings, principal: Principal, file: FileDocument, version: VersionPlace
) -> None:
    """Keep a member from a version that isn't the file's current one if the policies in force refuse it, whether or not it was
    judged when it came; where they refuse by what bytes are, also from one that was never inspected.

    Raises:
        AgainstPolicy: they do; says why.
    """
    if principal.is_operator or file["owner_id"] is None:
        return
    policies = policies_of(session, options, UUID(file["owner_id"]), file["session_id"])
    check_file([(policy.whose, policy.limits) for policy in policies], version.size, version.media_type)
    if any(policy.limits.refuse_mismatch for policy in policies):
        if version.is_uninspected:
            raise AgainstPolicy(
                "This version was not inspected yet: nobody knows whether it is what it was declared to be."
            )
        if version.is_mismatch:
            raise AgainstPolicy(
                f"This version was declared to be {version.media_type}, and its bytes are something else."
            )


def give_up_uploads(session: Session, file_ids: Sequence[UUID]) -> None:
    """What was reserved for these files is free again: should their bytes come after all, by a link that still lasts, they are
    judged as if nobody had announced them."""
    session.execute(update(Upload).where(Upload.file_id.in_(file_ids), Upload.closed_at.is_(None)).values(size=None))


def close_uploads(session: Session, file_ids: Sequence[UUID], now: datetime) -> None:
    """Note that the bytes of these files have come."""
    session.execute(update(Upload).where(Upload.file_id.in_(file_ids)).values(closed_at=now))


def _defaults(options: Settings) -> dict[str, Any]:
    return {
        "max_file_bytes": options.max_file_bytes,
        "media_types": options.media_types or None,
        "max_bytes": options.quota_bytes,
        "max_files": options.quota_files,
        "refuse_mismatch": options.refuse_mismatch,
    }
