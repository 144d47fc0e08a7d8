"""Links to a file's bytes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chalicelib.db import history
from chalicelib.errors import Conflict, NotFound
from chalicelib.services.accounts.policies import check_version
from chalicelib.services.accounts.trail import note
from chalicelib.services.context import Transaction
from chalicelib.services.files.reading import present_file, visible_file


@dataclass(frozen=True, slots=True)
class DownloadLink:
    """A link that needs no other credentials, until ``expires_at``."""

    url: str
    expires_at: datetime


def download_link(tx: Transaction, file_id: UUID, version_id: str | None, inline: bool) -> DownloadLink:
    """A presigned link to a file's current version, or to an earlier one that S3 still holds.

    ``version_id`` ``"null"`` is the version from before the bucket was versioned. The versions of a deleted file count
    towards no quota, so a member must restore the file before downloading one of them. An operator need not.

    Raises:
        NotFound: there is no such file or version for this caller, or the file was deleted.
        Conflict: the file's bytes haven't arrived yet, or a member asks for a version of a deleted file.
        AgainstPolicy: see `check_version`.
    """
    file = visible_file(tx, file_id)
    bucket, key = file.location
    if version_id is None:
        if present_file(file).state == "pending":
            raise Conflict("The file's bytes have not arrived yet.")
        version, media_type = file.version_id, file.media_type
    else:
        found = history.find_version(tx.session, tx.scope, file_id, version_id)
        if found is None:
            raise NotFound(f"The file {file_id} has no such version, or it holds no bytes.")
        if file.state == "deleted" and not tx.principal.is_operator:
            raise Conflict("The file is deleted. Restore it, or this version of it, to download it.")
        check_version(tx, file, found)
        bucket, key, version, media_type = found.bucket, found.key, found.version_id, found.media_type
    # A link without a version leads to whatever is current when it is used.
    is_alone = file.state == "stored" and not file.version_id
    signed = version or (None if version_id is None or is_alone else "null")
    seconds = tx.settings.link_seconds
    if tx.settings.trail_links:
        note(tx, "link", [file_id])
    url = tx.links.download(bucket, key, signed, file.name, media_type, seconds, inline)
    return DownloadLink(url, tx.now + timedelta(seconds=seconds))
