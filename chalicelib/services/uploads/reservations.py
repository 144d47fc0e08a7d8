"""Files whose bytes are to come: whether they may come at all, and their rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from chalicelib.catalog.files import File, UploadMethod
from chalicelib.catalog.objects import Location
from chalicelib.catalog.parts import MULTIPART_FROM_BYTES, part_size
from chalicelib.db import files, uploads
from chalicelib.db.scope import Owner
from chalicelib.ids import uuid7
from chalicelib.services.accounts.confinement import key_of_new, session_of_new
from chalicelib.services.accounts.policies import policies_for
from chalicelib.services.accounts.sessions import NewSession, get_session, open_session
from chalicelib.services.context import Context, Transaction
from chalicelib.settings import Settings


@dataclass(frozen=True, slots=True)
class Description:
    """What a client says about a file before its bytes come. A session that doesn't exist yet is opened."""

    session_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """A file that a client wants to upload.

    Attributes:
        size (bytes), media_type, sha256 (base64): what the client announces; None: it announces nothing.
        method: None takes what fits the size.
        client_key: the key that the client proposed.
        part_bytes: the part size that the client has chosen; None: we choose it.
    """

    name: str
    media_type: str | None = None
    size: int | None = None
    sha256: str | None = None
    method: UploadMethod | None = None
    description: Description = field(default_factory=Description)
    client_key: str | None = None
    part_bytes: int | None = None

    @property
    def chosen_method(self) -> UploadMethod:
        """How its bytes are to come."""
        return self.method or ("multipart" if (self.size or 0) > MULTIPART_FROM_BYTES else "put")

    @property
    def part_size(self) -> int | None:
        """Bytes of each part but the last.

        It is chosen once. If a client could choose it anew for each part, it could send every part at the largest size.
        """
        return (self.part_bytes or part_size(self.size or 0)) if self.chosen_method == "multipart" else None

    def patience(self, settings: Settings) -> timedelta:
        """How long its bytes may take to come."""
        return time_for_bytes(settings, self.chosen_method, self.size)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A new pending file: its id, and where its object is to be."""

    file_id: UUID
    location: Location
    request: UploadRequest


def reserve(tx: Transaction, requests: Sequence[UploadRequest]) -> list[Reservation]:
    """Add ``pending`` files, if the policies allow them. All get the first one's description.

    They belong to the caller, or to the owner of the session that it acts in.

    The quota is checked after the rows are added. By then their trigger has added them to the owner's usage and locked
    that row. So each of several uploads at the same time sees all those that were let in before it.

    Raises:
        AgainstPolicy: a file is too large or of a type that isn't allowed.
        OverQuota: the owner or the session would have too much.
        Forbidden: the caller's API key is for other files, see `chalicelib.services.accounts.confinement`.
        NotFound: the session that the caller acts in is gone.
    """
    description = requests[0].description
    description = replace(description, session_id=session_of_new(tx.principal, description.session_id))
    reservations = [_new(tx, request) for request in requests]
    file_rows = [_file_row(tx, one, description) for one in reservations]
    upload_rows = [_upload_row(tx, one) for one in reservations]
    if tx.principal.acting is not None:
        get_session(tx, tx.principal.acting.session_id)  # nobody opens a session for another user
    elif description.session_id is not None:
        open_session(tx, NewSession(description.session_id))
    policies = policies_for(tx, tx.principal.itself, description.session_id)
    for request in requests:
        policies.check_file(request.size, request.media_type)
    files.add_pending(tx.session, file_rows, tx.now)
    uploads.add_uploads(tx.session, upload_rows)
    policies.check_quotas(tx)
    return reservations


def _new(tx: Transaction, request: UploadRequest) -> Reservation:
    file_id = uuid7(tx.now)
    key = key_of_new(tx.principal, file_id, request.name)
    return Reservation(file_id, Location(tx.settings.bucket, key), request)


def _file_row(tx: Transaction, reservation: Reservation, description: Description) -> files.NewFile:
    return {
        "id": reservation.file_id,
        "bucket": reservation.location.bucket,
        "key": reservation.location.key,
        "name": reservation.request.name,
        "media_type": reservation.request.media_type,
        "reserved": reservation.request.size or 0,
        "owner_id": tx.principal.itself.user_id,
        "session_id": description.session_id,
        "metadata": description.metadata,
        "tags": description.tags,
    }


def _upload_row(tx: Transaction, reservation: Reservation) -> uploads.NewUpload:
    request = reservation.request
    return {
        "file_id": reservation.file_id,
        "owner_id": tx.principal.itself.user_id,
        "client_key": request.client_key,
        "method": request.chosen_method,
        "size": request.size,
        "media_type": request.media_type,
        "sha256": request.sha256,
        "part_size": request.part_size,
        "expires_at": tx.now + request.patience(tx.settings),
        "created_at": tx.now,
    }


def time_for_bytes(settings: Settings, method: UploadMethod, size: int | None) -> timedelta:
    """How long the bytes may take to come: at least until the last link that was signed for them has ended.

    An upload in one request, of no announced size, is usually one of Uppy's. Uppy doesn't tell us when S3 has refused
    the bytes as too large. So such an upload counts as abandoned soon after its link has ended. If its bytes come
    nevertheless, the file is stored.
    """
    patience = settings.upload_seconds
    if method != "multipart" and size is None:
        patience = min(patience, 2 * settings.link_seconds)
    return timedelta(seconds=max(patience, settings.link_seconds))


def settle_size(tx: Transaction, file: File, size: int, media_type: str | None) -> None:
    """Check a pending file whose size is known only now against the policies, and reserve the size.

    Raises:
        AgainstPolicy, OverQuota: see `reserve`.
    """
    owner = owner_of(file)
    policies = policies_for(tx, owner, file.session_id)
    policies.check_file(size, media_type)
    files.reserve(tx.session, file.id, size)
    policies.check_quotas(tx)


def owner_of(file: File) -> Owner:
    """Who owns a pending file: it always has an owner."""
    if file.owner_id is None:
        raise ValueError(f"The pending file {file.id} has no owner.")
    return Owner(file.owner_id)


def abort_parts(ctx: Context, file: File) -> bool:
    """Throw away the parts of a pending file's multipart uploads; says whether none is left.

    A client that begins them itself may have begun several. Of very many only some are aborted at once: the rest is left to the
    clock (see `chalicelib/services/upkeep/reaping.py`), and after a week to the bucket's rule.
    """
    if file.upload and file.upload.method == "multipart":
        return ctx.store.multipart.abort_all(*file.location, noted=file.upload.multipart_id)
    return True
