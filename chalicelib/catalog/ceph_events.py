"""What is peculiar to the notifications of Ceph's RADOS gateway: see `chalicelib.catalog.notifications`."""

from datetime import datetime

from chalicelib.catalog.changes import CheckRequest, ObjectChange


def as_far_as_believed(change: ObjectChange) -> ObjectChange | CheckRequest:
    """A change that Ceph tells of, or the request to check it."""
    has_happened = change.event_time is not None and not change.event_name.startswith("ObjectSynced")
    # What a lifecycle rule did to a version is said in too many ways.
    if change.version_id and has_happened and "Lifecycle" not in change.event_name:
        return change
    return CheckRequest(change, holds_without_versions=has_happened, sequencer_at=_sequencer_at)


def in_order(sequencer: str) -> str:
    """A sequencer as text that sorts: it is two 32-bit numbers, seconds and nanoseconds, each with its last byte first."""
    if len(sequencer) != 16:
        return sequencer
    seconds, nanoseconds = bytes.fromhex(sequencer[:8]), bytes.fromhex(sequencer[8:])
    return (seconds[::-1] + nanoseconds[::-1]).hex()


def _sequencer_at(moment: datetime) -> str:
    """Seconds and nanoseconds, in the order that `in_order` gives them."""
    return f"{int(moment.timestamp()):08x}{moment.microsecond * 1000:08x}"
