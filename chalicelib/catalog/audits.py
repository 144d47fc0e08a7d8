"""Audits, as types: what is asked for, how far it is, and what was found."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from chalicelib.catalog.inventories import MARGIN, Inventory

# `loading`: the files of an inventory are read. `listing`: ranges of keys are compared. `settling`: what was doubtful is looked
# at again, key by key. `braked`: more would be buried than the brake allows, so nothing was. `failed`: the inventory can't be
# read.
AuditState = Literal["loading", "listing", "settling", "done", "braked", "failed", "cancelled"]
# `missing`: in the bucket alone. `different`: the catalogue has it otherwise. `gone`: in the catalogue alone. `unsure`: to be
# looked at again; once it is settled, it turned out to be no drift.
DriftKind = Literal["missing", "different", "gone", "unsure"]

BRAKE = 0.05
# Fewer are always buried: of three files, one is a third.
NEVER_BRAKED = 10
GRACE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What an audit is to do.

    Attributes:
        prefix: only keys that begin so.
        repairs: record what differs; else it is only counted.
        brake: the share of the compared versions that may be recorded as gone. More than that stops the audit.
        grace: how long events may be on their way. What is younger and not in the catalogue isn't drift yet.
        inventory: what to compare with in place of a listing.
    """

    bucket: str
    prefix: str = ""
    repairs: bool = False
    brake: float = BRAKE
    grace: timedelta = GRACE
    inventory: Inventory | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A version that differs."""

    key: str
    version_id: str
    kind: DriftKind


@dataclass(frozen=True, slots=True)
class Audit:
    """How far an audit is, and what it has found.

    Attributes:
        compared: versions of the bucket that were compared so far.
        missing, different, gone: how many versions differ; see `DriftKind`. Until an audit has ended, ``gone`` also counts what
            may still turn out to be there.
        unsure: keys that are still to be looked at again.
        recorded: versions that were put right.
        inventory, inventory_at: the manifest that it compares with, and when S3 began to make that; None: it lists the bucket.
        examples: some versions of each kind.
    """

    id: UUID
    bucket: str
    prefix: str
    repairs: bool
    state: AuditState
    brake: float
    grace_seconds: float
    problem: str | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    compared: int
    missing: int
    different: int
    gone: int
    unsure: int
    recorded: int
    inventory: str | None
    inventory_at: datetime | None
    examples: list[Example] = field(default_factory=list)

    @property
    def drift(self) -> int:
        """How many versions differ."""
        return self.missing + self.different + self.gone

    @property
    def trusted_until(self) -> datetime | None:
        """When the inventory may begin to leave changes out; None: it lists the bucket."""
        return None if self.inventory_at is None else self.inventory_at - MARGIN


@dataclass(frozen=True, slots=True)
class BucketTruth:
    """How well a bucket is known.

    Attributes:
        agreed_at: when an audit of all of it began that has left no difference.
        known_since: when the first audit of it that is still remembered began.
        last_audit: the last one of all of it that has ended.
        last_drift: how many versions that one found to differ.
        drift_within_hour: how many versions were found to differ by audits of the clock that ended within the last hour, also of
            parts of it.
        is_braked: whether the last one of all of it has stopped because it would have recorded too much as gone.
        unsure: keys that audits under way are to look at again.
    """

    bucket: str
    agreed_at: datetime | None
    known_since: datetime | None
    last_audit: UUID | None
    last_drift: int | None
    drift_within_hour: int
    is_braked: bool
    unsure: int


@dataclass(frozen=True, slots=True)
class Truth:
    """How well the catalogue is known to be what the buckets hold."""

    buckets: list[BucketTruth]
