"""Observations: changes that we saw in S3's answer to a request. They are built nowhere else.

An observation has no sequencer. The notification of the same change merges into it, and only that becomes an event.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from chalicelib.catalog.changes import Kind, ObjectChange, rank, rank_after, rank_of_removal
from chalicelib.catalog.media_types import as_kept
from chalicelib.catalog.objects import Current, Deletion, ListedVersion, ObjectHead, StoredObject, whole_sha256


def observe_head(bucket: str, key: str, head: ObjectHead, now: datetime, after: Current | None = None) -> ObjectChange:
    """The put of an object whose headers were read.

    ``after``: what is known to have been current before the object came. The put then ranks above it.
    """
    moment = (head.last_modified or now).astimezone(UTC)
    return ObjectChange(
        kind=Kind.PUT,
        bucket=bucket,
        key=key,
        version_id=head.version_id,
        rank=rank_after(after.rank) if after else rank("", moment, Kind.PUT, head.etag, head.size),
        event_name="HeadObject",
        event_time=moment,
        size=head.size,
        etag=head.etag,
        media_type=as_kept(head.media_type),
        metadata=head.metadata or None,
        sha256=whole_sha256(head.checksums),
        is_observation=True,
        follows=after.version_id if after else None,
    )


def observe_put(bucket: str, key: str, stored: StoredObject, media_type: str | None) -> ObjectChange:
    """The put of an object that we stored."""
    return ObjectChange(
        kind=Kind.PUT,
        bucket=bucket,
        key=key,
        version_id=stored.version_id,
        rank=rank("", stored.stored_at, Kind.PUT, stored.etag, stored.size),
        event_name="PutObject",
        event_time=stored.stored_at,
        size=stored.size,
        etag=stored.etag,
        media_type=media_type,
        sha256=stored.sha256,
        is_observation=True,
    )


def observe_deletion(bucket: str, key: str, before: Current, deletion: Deletion) -> ObjectChange:
    """The deletion of the current object. It ranks just above what was known *before* the deletion was asked for.

    A higher rank could outrank a put that came after the deletion, and hide that put forever.
    """
    return ObjectChange(
        kind=Kind.MARKER if deletion.is_marker else Kind.REMOVAL,
        bucket=bucket,
        key=key,
        version_id=deletion.version_id if deletion.is_marker else before.version_id or "",
        rank=rank_after(before.rank),
        event_name="DeleteObject",
        event_time=deletion.at,
        is_observation=True,
        follows=before.version_id if deletion.is_marker else None,
    )


def observe_removal(bucket: str, key: str, version_id: str, put_rank: str, deletion: Deletion) -> ObjectChange:
    """The removal of one version by its id. ``put_rank`` is that of the version's put, as far as it is known."""
    return ObjectChange(
        kind=Kind.REMOVAL,
        bucket=bucket,
        key=key,
        version_id=version_id,
        rank=rank_of_removal(version_id, put_rank),
        event_name="DeleteObject",
        event_time=deletion.at,
        is_observation=True,
    )


def observe_listed(
    bucket: str, listed: ListedVersion, before: Current | None, above: Sequence[str] = ()
) -> ObjectChange:
    """The put of a version or delete marker that a listing shows and the catalogue doesn't know.

    It ranks just above the version that the listing shows ``before`` it, and above the ranks in ``above``. Those may
    begin with a sequencer: a rank of its own, which has none, would sort below them.
    """
    ranks = [*([before.rank] if before else []), *above]
    kind = Kind.MARKER if listed.is_marker else Kind.PUT
    return ObjectChange(
        kind=kind,
        bucket=bucket,
        key=listed.key,
        version_id=listed.version_id,
        rank=rank_after(max(ranks)) if ranks else rank("", listed.modified, kind, listed.etag, listed.size),
        event_name="ListObjectVersions",
        event_time=listed.modified,
        size=listed.size,
        etag=listed.etag,
        is_observation=True,
        follows=before.version_id if before else None,
    )


def observe_unlisted(bucket: str, key: str, version_id: str, put_rank: str) -> ObjectChange:
    """The removal of a version that a listing doesn't show, and that is known to be gone."""
    return ObjectChange(
        kind=Kind.REMOVAL,
        bucket=bucket,
        key=key,
        version_id=version_id,
        rank=rank_of_removal(version_id, put_rank),
        event_name="ListObjectVersions",
        is_observation=True,
    )
