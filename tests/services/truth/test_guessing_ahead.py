"""Workers that cut a range where the catalogue knows no keys: the store is asked what lies ahead, and few times."""

import math
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from chalicelib.catalog.audits import AuditRequest
from chalicelib.services.context import Context
from chalicelib.services.truth import auditing
from chalicelib.services.truth.allowances import Allowance
from chalicelib.services.truth.guessing import split_by_guess

_FOLDER = "a/folder/that/holds/all/that/there/is/2026/11/30/"


class _Counting(Allowance):
    def __init__(self, seconds: float = math.inf) -> None:
        super().__init__(seconds)
        self.requests = 0

    def spend(self, requests: int) -> None:
        self.requests += requests


@pytest.mark.parametrize("prefix", ["", "a/folder/", _FOLDER])
@pytest.mark.parametrize("names", ["{:03}", "{:03} ü.txt", "\U0001f389{:03}", "ü/{:03}/x", "{:03}/" + "y" * 800])
def test_keys_that_begin_alike_for_long_are_cut_by_few_requests(
    ctx: Context, engine: Engine, s3: Any, plain_bucket: str, prefix: str, names: str
) -> None:
    keys = sorted(_FOLDER + names.format(number) for number in range(0, 100, 4))
    for key in keys:
        s3.put_object(Bucket=plain_bucket, Key=key, Body=b"1")
    with ctx.transaction() as tx:
        audit_id = auditing.begin_audit(tx, AuditRequest(plain_bucket, prefix, repairs=True, grace=timedelta()))
        audit = auditing.get_audit(tx, audit_id)
    with engine.begin() as connection:
        connection.execute(text("UPDATE audit_ranges SET position = :key"), {"key": keys[1]})

    allowance = _Counting()
    assert split_by_guess(ctx, audit, allowance)
    assert allowance.requests <= 24

    with engine.begin() as connection:
        ranges = connection.execute(text("SELECT position, until FROM audit_ranges ORDER BY position")).all()
        assert (ranges[0].position, ranges[0].until, ranges[1].until) == (keys[1], ranges[1].position, None)
        assert ranges[1].position in keys[2:]
        connection.execute(text("DELETE FROM audit_ranges WHERE until IS NOT NULL"))
        connection.execute(text("UPDATE audit_ranges SET position = :key"), {"key": keys[-1]})
    assert not split_by_guess(ctx, audit, allowance := _Counting())
    assert allowance.requests <= 12
    assert not split_by_guess(ctx, audit, spent := _Counting(0))
    assert spent.requests == 0


@pytest.mark.parametrize("position", ["", "a", "z", "zz\U0010ffff"])
def test_nothing_is_cut_where_nothing_lies_ahead(
    ctx: Context, engine: Engine, s3: Any, plain_bucket: str, position: str
) -> None:
    for key in ("z", "zz\U0010ffff") if position.startswith("z") else ():
        s3.put_object(Bucket=plain_bucket, Key=key, Body=b"1")
    with ctx.transaction() as tx:
        audit_id = auditing.begin_audit(tx, AuditRequest(plain_bucket, repairs=True, grace=timedelta()))
        audit = auditing.get_audit(tx, audit_id)
    with engine.begin() as connection:
        connection.execute(text("UPDATE audit_ranges SET position = :key, until = 'zz'"), {"key": position})

    assert not split_by_guess(ctx, audit, Allowance())
