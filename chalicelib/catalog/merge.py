"""Folding the changes of a batch into one state for each version: the in-memory half of the merge.

The merge takes the maximum by rank, once for puts and once for removals. A maximum is commutative, associative and
idempotent, so it doesn't matter which part happens here and which in the database (``chalicelib/db/recording.py``).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from chalicelib.catalog.changes import Kind, ObjectChange


@dataclass(slots=True)
class VersionState:
    """What is known of one version: its put and its removal of highest rank.

    A version is alive when its put outranks its removal. ``held_object`` tells whether any put, even an outranked one,
    was a real object rather than a delete marker.
    """

    put: ObjectChange | None = None
    removal: ObjectChange | None = None
    held_object: bool = False

    def take(self, change: ObjectChange) -> None:
        """Merge one more change of this version."""
        if change.kind is Kind.PUT or change.kind is Kind.MARKER:
            self.held_object |= change.kind is Kind.PUT
            if self.put is None or change.rank > self.put.rank:
                self.put = change
        elif self.removal is None or change.rank > self.removal.rank:
            self.removal = change


VersionKey = tuple[str, str, str]


def fold(changes: Iterable[ObjectChange]) -> dict[VersionKey, VersionState]:
    """The state of each (bucket, key, version id) that ``changes`` mention, in any order, with any repetition."""
    states: dict[VersionKey, VersionState] = {}
    for change in changes:
        name = (change.bucket, change.key, change.version_id)
        state = states.get(name)
        if state is None:
            state = states[name] = VersionState()
        state.take(change)
    return states
