"""Audits as clients send and receive them."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from chalicelib.api.schemas.common import Input, Output, example
from chalicelib.catalog.audits import BRAKE, GRACE, AuditState, DriftKind


class AuditPath(Input):
    """Which audit."""

    audit_id: UUID


# What any bucket may be called, the oldest ones, too: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html.
_BUCKET = "^[A-Za-z0-9][A-Za-z0-9._-]*$"


class InventoryIn(Input):
    """Where the manifest of an S3 Inventory is."""

    bucket: str = Field(
        min_length=3, max_length=255, pattern=_BUCKET, description="The bucket that S3 writes inventories to."
    )
    key: str = Field(min_length=1, max_length=1024, description="The key of a `manifest.json`.")


class AuditCreate(Input):
    """What to compare, and whether to put right what differs."""

    model_config = example(prefix="reports/")

    bucket: str | None = Field(
        None,
        min_length=3,
        max_length=255,
        pattern=_BUCKET,
        description="The bucket; if left out, the one that uploads go to.",
    )
    prefix: str = Field("", max_length=1024, description="Only keys that begin so.")
    repairs: bool = Field(False, description="Record what differs in the catalogue. Nothing is ever deleted from S3.")
    brake: float = Field(
        BRAKE,
        ge=0,
        le=1,
        description="The share of what was compared that may be recorded as gone. A repair that would record more stops.",
    )
    grace_seconds: float = Field(
        GRACE.total_seconds(),
        ge=0,
        le=86_400,
        description="How long notifications may take. What is younger and unknown counts as drift only after that.",
    )
    inventory: InventoryIn | None = Field(
        None,
        description="Compare with an S3 Inventory in place of a listing. It must list all versions, as CSV; Landfall must be "
        "allowed to read it. What differs is looked at in the bucket before it counts.",
    )


class ExampleOut(Output):
    """A version that differs."""

    key: str
    version_id: str = Field(description="Empty for an object without versions.")
    kind: DriftKind


class AuditOut(Output):
    """A comparison of a bucket with the catalogue. Ask for it again until `finished_at` is there."""

    id: UUID
    bucket: str
    prefix: str
    repairs: bool
    state: AuditState = Field(
        description="`loading` (an inventory is read), `listing` and `settling` (doubtful keys are looked at again) are under "
        "way. `braked`: too much would have been recorded as gone, so nothing was. `failed`: the inventory can't be read."
    )
    brake: float
    grace_seconds: float
    compared: int = Field(description="Versions and delete markers of the bucket that were compared so far.")
    missing: int = Field(description="Those that the catalogue didn't have.")
    different: int = Field(description="Those that it had otherwise.")
    gone: int = Field(
        description="Those that it had, and the bucket has not. While it runs, some may turn out to be there."
    )
    unsure: int = Field(description="Keys that are still to be looked at again.")
    recorded: int = Field(description="Changes that were recorded to put things right.")
    problem: str | None = Field(description="What went wrong last.")
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    inventory: str | None = Field(description="The inventory that it compares with. Null: it lists the bucket.")
    inventory_at: datetime | None = Field(description="When S3 began to make that inventory.")


class AuditDetail(AuditOut):
    """An audit, with examples of what differs."""

    examples: list[ExampleOut] = Field(description="Up to thirty versions of each kind that differ.")


class BucketTruthOut(Output):
    """How well a bucket is known."""

    bucket: str
    agreed_at: datetime | None = Field(
        description="At this moment, the whole bucket and the catalogue were known to agree: an audit began that found no "
        "difference, or that put right what it found. Null: never."
    )
    last_audit: UUID | None = Field(description="The audit of the whole bucket that ended last.")
    last_drift: int | None = Field(description="How many versions it found to differ.")
    drift_within_hour: int = Field(
        description="How many versions the clock's audits of the last hour found to differ, also those of parts of the bucket."
    )
    is_braked: bool = Field(
        description="The last audit of the whole bucket has stopped: too much would have been recorded as gone."
    )
    unsure: int = Field(description="Keys that audits under way are still to look at again.")


class TruthOut(Output):
    """How well the catalogue is known to be what the buckets hold."""

    buckets: list[BucketTruthOut]
