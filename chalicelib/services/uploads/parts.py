"""The parts of multipart uploads: links to send them, and reservations for what S3 holds of them.

If a size was announced, it is reserved from the beginning, and the parts' lengths are signed. Otherwise only S3 knows
how large the parts are. So they are measured: when further parts are signed, and by the clock.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from chalicelib.catalog.files import File, UploadState
from chalicelib.catalog.objects import Location
from chalicelib.catalog.parts import bytes_of_part, part_count
from chalicelib.db.files import reserved_for
from chalicelib.errors import AgainstPolicy, InvalidInput, NotFound
from chalicelib.services.accounts.policies import policies_for
from chalicelib.services.context import Context
from chalicelib.services.uploads.reservations import owner_of, settle_size
from chalicelib.store.multipart import MAX_UPLOADS


@dataclass(frozen=True, slots=True)
class SignedPart:
    """One part for the client to PUT. ``size``, in bytes, is signed; with None, the client may send any size."""

    number: int
    size: int | None
    url: str


def sign_parts(
    ctx: Context, location: Location, upload: UploadState, numbers: Sequence[int], bytes_each: int | None = None
) -> list[SignedPart]:
    """Links to PUT these parts. If the file's size was announced, each part's length is signed, else ``bytes_each``.

    Raises:
        InvalidInput: the file has no part of such a number.
    """
    sizes = [_part_bytes(number, upload, bytes_each) for number in numbers]
    sign, seconds = ctx.links.part, ctx.settings.link_seconds
    return [
        SignedPart(number, size, sign(*location, str(upload.multipart_id), number, size, seconds).url)
        for number, size in zip(numbers, sizes, strict=True)
    ]


def _part_bytes(number: int, upload: UploadState, bytes_each: int | None) -> int | None:
    if upload.size is None or upload.part_size is None:
        return bytes_each
    length = bytes_of_part(number, upload.size, upload.part_size)
    if length < 0 or (length == 0 and number > 1):
        count = part_count(upload.size, upload.part_size)
        raise InvalidInput(f"The upload has {count} parts; there is no part {number}.")
    return length


def reserve_parts(
    ctx: Context, file: File, upload: UploadState, numbers: Collection[int] = (), bytes_each: int = 0
) -> None:
    """Reserve what S3 holds of an upload, and the parts ``numbers`` that are about to come.

    If no policy limits bytes, nothing is reserved. The check is for one call alone: several calls may sign too much
    before any part has come. That is found out when the parts are measured later.

    Raises:
        AgainstPolicy, OverQuota: it is too much by now, or there are too many multipart uploads to add it up.
    """
    if not _are_bytes_limited(ctx, file):
        return
    size = _held(ctx, file.location, without=numbers) + len(numbers) * bytes_each
    with ctx.transaction() as tx:
        # A reservation never shrinks: parts that were counted a moment ago may be an object by now.
        if size > reserved_for(tx.session, file.id):
            settle_size(tx, file, size, upload.media_type)


def check_further_upload(ctx: Context, file: File) -> None:
    """Refuse to sign parts of a further multipart upload to a key, if there are too many to be measured.

    Otherwise somebody could send the announced size to each of thousands, before the clock measures them.

    Raises:
        AgainstPolicy: there are more than `MAX_UPLOADS`, and a policy limits bytes.
    """
    if _are_bytes_limited(ctx, file):
        _unfinished(ctx, file.location)


def _are_bytes_limited(ctx: Context, file: File) -> bool:
    with ctx.transaction() as tx:
        return policies_for(tx, owner_of(file), file.session_id).limit_bytes


def _unfinished(ctx: Context, location: Location) -> list[str]:
    """The ids of the multipart uploads to a key.

    Raises:
        AgainstPolicy: there are too many. Nobody needs them, and to look at each would take S3 and the clock too long.
    """
    found = ctx.store.multipart.list_ids(*location)
    if len(found) > MAX_UPLOADS:
        raise AgainstPolicy(
            f"More than {MAX_UPLOADS} multipart uploads to this file's key were begun and not finished."
        )
    return found


def _held(ctx: Context, location: Location, without: Collection[int]) -> int:
    """Bytes of all parts of all multipart uploads to a key. Parts ``without`` don't count, because they are sent again.

    Raises:
        AgainstPolicy: see `_unfinished`.
    """
    held = 0
    for upload_id in _unfinished(ctx, location):
        try:
            parts = ctx.store.multipart.list_parts(*location, upload_id)
        except NotFound:
            continue  # completed or aborted in this moment
        held += sum(part.size for part in parts if part.number not in without)
    return held
