"""Audits as operators ask for them."""

from contextlib import suppress
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from chalicelib.catalog.audits import Audit, AuditRequest, Truth
from chalicelib.catalog.inventories import Inventory
from chalicelib.db import audits
from chalicelib.db.pages import Page
from chalicelib.errors import InvalidInventory, NotFound, StoreUnavailable
from chalicelib.services.accounts.trail import note_about
from chalicelib.services.context import Context, Transaction
from chalicelib.services.truth.allowances import Allowance
from chalicelib.services.truth.auditing import begin_audit, cancel_audit, get_audit, work_on_audit
from chalicelib.services.truth.buckets import recorded_buckets, unrecorded_among
from chalicelib.services.truth.loading import read_inventory

_AT_ONCE = 2.0  # seconds of a request; the clock does the rest


class Manifest(Protocol):
    """Where the manifest of an S3 Inventory is."""

    @property
    def bucket(self) -> str: ...

    @property
    def key(self) -> str: ...


class Wish(Protocol):
    """What an operator asks for."""

    bucket: str | None
    prefix: str
    repairs: bool
    brake: float
    grace_seconds: float

    @property
    def inventory(self) -> Manifest | None: ...


def request_audit(ctx: Context, wish: Wish) -> Audit:
    """Begin an audit, and work on it for a moment; returns how far it came.

    Raises:
        Forbidden: the caller is a member. NotFound: the catalogue doesn't record this bucket. InvalidInventory: it can't be read
            here. StoreUnavailable: the manifest can't be asked for.
    """
    ctx.principal.require_operator("audit buckets")
    bucket = ctx.settings.bucket if wish.bucket is None else wish.bucket
    if unrecorded_among(ctx, [bucket]):
        raise NotFound(f"The catalogue doesn't record the bucket {bucket!r}: `make adopt` takes one in.")
    grace = timedelta(seconds=wish.grace_seconds)
    request = AuditRequest(bucket, wish.prefix, wish.repairs, wish.brake, grace, _inventory(ctx, wish, bucket))
    with ctx.transaction() as tx:
        audit_id = begin_audit(tx, request)
        note_about(tx, "audit", audit_id)
    with suppress(StoreUnavailable):  # the audit says so, and the clock tries again
        work_on_audit(ctx, audit_id, Allowance(_AT_ONCE))
    with ctx.transaction() as tx:
        return get_audit(tx, audit_id)


def _inventory(ctx: Context, wish: Wish, bucket: str) -> Inventory | None:
    if wish.inventory is None:
        return None
    inventory = read_inventory(ctx, wish.inventory.bucket, wish.inventory.key, bucket)
    if inventory.format == "parquet":
        raise InvalidInventory(
            f"{inventory.url} is written as Parquet. Routes take CSV; `python -m dev audit --inventory` reads Parquet, too."
        )
    return inventory


def list_audits(tx: Transaction, limit: int, cursor: str | None) -> Page:
    """A page of all audits, the newest first.

    Raises:
        Forbidden: the caller is a member. InvalidCursor.
    """
    tx.principal.require_operator("see audits")
    return audits.list_audits(tx.session, limit, cursor)


def read_audit(tx: Transaction, audit_id: UUID) -> Audit:
    """An audit, with examples.

    Raises:
        Forbidden: the caller is a member. NotFound: there is none.
    """
    tx.principal.require_operator("see audits")
    return get_audit(tx, audit_id)


def end_audit(tx: Transaction, audit_id: UUID) -> Audit:
    """Cancel an audit.

    Raises:
        Forbidden: the caller is a member. NotFound: there is none. Conflict: it has ended.
    """
    tx.principal.require_operator("cancel audits")
    cancel_audit(tx, audit_id)
    note_about(tx, "cancel_audit", audit_id)
    return get_audit(tx, audit_id)


def read_truth(tx: Transaction) -> Truth:
    """How well each bucket is known: those whose events are recorded, and all that were audited.

    Raises:
        Forbidden: the caller is a member.
    """
    tx.principal.require_operator("see how well buckets are known")
    return Truth(audits.truth_of(tx.session, recorded_buckets(tx), tx.now))
