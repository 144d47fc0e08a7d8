"""Uploads by clients that speak Uppy's two protocols: Companion's `/s3`, and `signRequest`.

Both know a file by its key alone, and begin without saying a size. So every request is judged by the file's row, and what
can't be judged at the beginning is judged at the end: see `check_settled` and `chalicelib/services/enforcement.py`.
Contracts, checked against @uppy/aws-s3 5.1 and 6.3: docs/uploads.md.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from chalicelib.catalog.objects import Part
from chalicelib.catalog.parts import MAX_PARTS, MAX_SINGLE_BYTES, bytes_of_part, uppys_part_size
from chalicelib.db import file_queries
from chalicelib.db.file_queries import FileDocument
from chalicelib.db.models import File, Upload
from chalicelib.errors import InvalidInput, NotFound
from chalicelib.services import Transaction, arrivals, direct_uploads
from chalicelib.services.arrivals import OpenUpload
from chalicelib.services.direct_uploads import Begun, Wanted
from chalicelib.services.files import visible_file
from chalicelib.services.pending import abort_parts, add_pending, forget, new_place, policies_of, room_left
from chalicelib.services.principals import Principal
from chalicelib.services.unfinished import reserve_parts
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore
from chalicelib.store.links import SignedRequest

Verb = Literal["GET", "PUT", "POST", "DELETE"]
# Uppy proposes `${crypto.randomUUID()}-${file.name}`.
_PROPOSED = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-(?=.)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """One `signRequest`. ``wanted`` is what the client says of the file, which it need not; ``part_bytes`` how it is going to
    cut it, if not as Uppy does by itself."""

    verb: Verb
    key: str
    upload_id: str | None = None
    part_number: int | None = None
    part_bytes: int | None = None
    wanted: Wanted | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed request, and the key that it is for: the server's, whatever the client proposed."""

    request: SignedRequest
    key: str


def name_in(proposed_key: str) -> str:
    """The file's name in a key that Uppy proposes.

    >>> name_in("0b3d1c6e-8a55-4c5e-9d0b-1f2e3a4b5c6d-Übersicht 1.pdf")
    'Übersicht 1.pdf'
    """
    return _PROPOSED.sub("", proposed_key)[:255] or "file"


def begin(
    transaction: Transaction, store: ObjectStore, options: Settings, principal: Principal, wanted: Wanted, now: datetime
) -> Begun:
    """A new upload. Its ``client_key``, if it has one, leads back to it as long as its bytes haven't come.

    Raises: see `direct_uploads.begin`.
    """
    if wanted.client_key is not None:
        with transaction() as session:
            known = _known(session, principal, wanted)
        if known is not None:
            return direct_uploads.renew(transaction, store, options, principal, known, now)
    return direct_uploads.begin(transaction, store, options, principal, wanted, now)


def list_parts(
    transaction: Transaction, store: ObjectStore, options: Settings, principal: Principal, key: str, upload_id: str
) -> list[Part]:
    """The parts of an upload that S3 holds; of a complete one, those that it was made of.

    Raises:
        NotFound: the caller has no such upload.
    """
    with transaction() as session:
        file, upload = _own(session, options, principal, key, upload_id)
    if upload.closed_at is not None or file["state"] != "pending":
        return [Part(**part) for part in upload.parts or ()]
    return store.multipart.list_parts(file["bucket"], key, upload_id)


def sign_parts(
    transaction: Transaction,
    store: ObjectStore,
    options: Settings,
    principal: Principal,
    key: str,
    upload_id: str,
    numbers: Sequence[int],
) -> dict[int, str]:
    """Links to PUT these parts, by their numbers. Where the file's size was announced, each part's length is signed.

    Raises:
        NotFound: the caller has no such upload. InvalidInput: the file has no part of such a number, or S3 takes none.
        AgainstPolicy, OverQuota: no size was announced, and S3 holds too much of it by now.
    """
    with transaction() as session:
        file, upload = _own(session, options, principal, key, upload_id)
    if not all(1 <= number <= MAX_PARTS for number in numbers):
        raise InvalidInput(f"S3 numbers parts from 1 to {MAX_PARTS}.")
    if upload.size is None and file["state"] == "pending":
        reserve_parts(transaction, store, options, OpenUpload(file, upload))
    sizes = [_part_bytes(number, upload) for number in numbers]
    sign, seconds = store.links.part, options.link_seconds
    return {
        number: sign(file["bucket"], key, upload_id, number, size, seconds).url
        for number, size in zip(numbers, sizes, strict=True)
    }


def _part_bytes(number: int, upload: Upload) -> int | None:
    if upload.size is None or upload.part_size is None:
        return None
    length = bytes_of_part(number, upload.size, upload.part_size)
    if length < 0 or (length == 0 and number > 1):
        raise InvalidInput(f"A file of {upload.size} bytes has no part {number}.")
    return length


def complete(
    transaction: Transaction,
    store: ObjectStore,
    options: Settings,
    principal: Principal,
    key: str,
    upload_id: str,
    parts: Sequence[Part],
    now: datetime,
) -> FileDocument:
    """The stored file; see `arrivals.complete`.

    Raises:
        NotFound: the caller has no such upload.
    """
    with transaction() as session:
        file, _ = _own(session, options, principal, key, upload_id)
    return arrivals.complete(transaction, store, options, principal, UUID(file["id"]), parts, now)


def abort(
    transaction: Transaction,
    store: ObjectStore,
    options: Settings,
    principal: Principal,
    key: str,
    upload_id: str,
    now: datetime,
) -> None:
    """Throw an upload away, and its file. A stored file stays: the client only didn't hear that it is.

    Raises:
        NotFound: the caller has no such upload.
    """
    with transaction() as session:
        file, _ = _own(session, options, principal, key, upload_id)
    if file["state"] != "pending":
        return
    abort_parts(store, file)
    # S3 may have made the object without our having heard of it.
    if arrivals.record_if_there(transaction, store, file, now) is None:
        with transaction() as session:
            forget(session, [UUID(file["id"])])


def sign(
    transaction: Transaction, store: ObjectStore, options: Settings, principal: Principal, asked: Asked, now: datetime
) -> Signed:
    """Sign one request of a client that talks to S3 itself.

    The first request of an upload makes the file. Every other one is for a key that is the caller's.

    Raises:
        AgainstPolicy, OverQuota: see `add_pending`. NotFound: the caller has no such file.
        InvalidInput: S3 has no such operation, or none that is signed here.
    """
    match asked.verb, asked.upload_id, asked.part_number:
        case "PUT", None, None:
            return _sign_put(transaction, store, options, principal, asked, now)
        case "POST", None, None:
            return _sign_create(transaction, store, options, principal, asked, now)
        case "DELETE", None, None:
            return _sign_delete(transaction, store, options, principal, asked.key)
        case "PUT", str(upload_id), int(number):
            with transaction() as session:
                key = _adopt(session, options, principal, asked)
            urls = sign_parts(transaction, store, options, principal, key, upload_id, [number])
            return Signed(SignedRequest("PUT", urls[number]), asked.key)
        case (("GET" | "POST" | "DELETE"), str(upload_id), None):
            with transaction() as session:
                key = _adopt(session, options, principal, asked)
            links, seconds = store.links, options.link_seconds
            signer = {"GET": links.list_parts, "POST": links.complete_multipart, "DELETE": links.abort_multipart}
            return Signed(signer[asked.verb](options.bucket, key, upload_id, seconds), key)
    raise InvalidInput(f"S3 has no operation of {asked.verb} with these parameters that is signed here.")


def _sign_put(
    transaction: Transaction, store: ObjectStore, options: Settings, principal: Principal, asked: Asked, now: datetime
) -> Signed:
    """One PUT, or a form where the length must be bounded and isn't known: no PUT can be signed for "at most".

    Without `If-None-Match`: after a lost answer Uppy sends the same request again, and would take 412 for a failure.
    """
    wanted = replace(asked.wanted or Wanted(name_in(asked.key)), method="put", client_key=asked.key)
    begun = begin(transaction, store, options, principal, wanted, now)
    bucket, key, seconds = begun.file["bucket"], begun.file["key"], options.link_seconds
    if wanted.size is None:
        with transaction() as session:
            policies = policies_of(session, options, principal.user_id, wanted.said.session_id)
            most = room_left(session, policies, principal.user_id, MAX_SINGLE_BYTES)
        if most < MAX_SINGLE_BYTES:
            return Signed(store.links.post(bucket, key, 0, most, wanted.media_type, None, seconds), key)
    put = store.links.put(bucket, key, wanted.size, wanted.media_type, wanted.sha256, seconds, overwrite=True)
    return Signed(put, key)


def _sign_create(
    transaction: Transaction, store: ObjectStore, options: Settings, principal: Principal, asked: Asked, now: datetime
) -> Signed:
    """The client begins the multipart upload itself, so its id is learnt from the next request."""
    wanted = asked.wanted or Wanted(name_in(asked.key))
    with transaction() as session:
        known = _known(session, principal, replace(wanted, client_key=asked.key))
        if known is None:
            place = new_place(
                options.bucket, principal, wanted.name, now, "multipart", wanted.media_type, wanted.size,
                client_key=asked.key,
            )  # fmt: skip
            place = replace(place, part_bytes=asked.part_bytes or uppys_part_size(wanted.size or 0))
            add_pending(session, options, principal, wanted.said, [place], now)
            key = place.key
        else:
            key = str(visible_file(session, principal, known)["key"])
    # Uppy sends the file's own type, which it doesn't tell here: signing another one would make S3 refuse it.
    return Signed(store.links.create_multipart(options.bucket, key, wanted.media_type, options.link_seconds), key)


def _sign_delete(
    transaction: Transaction, store: ObjectStore, options: Settings, principal: Principal, key: str
) -> Signed:
    with transaction() as session:
        file = _own_file(session, options, principal, key)
    return Signed(store.links.delete(file["bucket"], key, options.link_seconds), key)


def _known(session: Session, principal: Principal, wanted: Wanted) -> UUID | None:
    """The caller's pending file that was begun with the same proposed key, and as the very same thing."""
    same = (
        Upload.owner_id == principal.user_id,
        Upload.client_key == wanted.client_key,
        Upload.size.is_not_distinct_from(wanted.size),
        Upload.media_type.is_not_distinct_from(wanted.media_type),
        Upload.sha256.is_not_distinct_from(wanted.sha256),
    )
    waiting = select(File.id).join(Upload, Upload.file_id == File.id).where(*same, File.state == "pending")
    return session.scalar(waiting.order_by(File.id.desc()).limit(1))


def _own_file(session: Session, options: Settings, principal: Principal, key: str) -> FileDocument:
    owner_id = None if principal.is_operator else principal.user_id
    file = file_queries.find_file_at(session, options.bucket, key, owner_id)
    if file is None:
        raise NotFound("There is no such upload.")
    return file


def _own(
    session: Session, options: Settings, principal: Principal, key: str, upload_id: str
) -> tuple[FileDocument, Upload]:
    file = _own_file(session, options, principal, key)
    upload = session.get(Upload, UUID(file["id"]))
    if upload is None or upload.multipart_id != upload_id:
        raise NotFound("There is no such upload.")
    return file, upload


def _adopt(session: Session, options: Settings, principal: Principal, asked: Asked) -> str:
    """The key, after noting the id of the upload that the client began. S3 itself refuses an id of another key.

    Once the file is there, only the upload that made it is signed for: another one, begun before, would overwrite it.
    """
    file = _own_file(session, options, principal, asked.key)
    upload = session.get(Upload, UUID(file["id"]))
    is_same = upload is not None and upload.multipart_id == asked.upload_id
    if file["state"] != "pending" and not (file["state"] == "stored" and is_same):
        raise NotFound("There is no such upload.")
    if upload is not None and upload.method == "multipart" and not is_same:
        upload.multipart_id = asked.upload_id
        session.flush()
    return asked.key
