"""A repair of keys that others hold for longer than it waits for them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from chalicelib.catalog.audits import Audit, AuditRequest
from chalicelib.db.locks import lock_keys
from chalicelib.db.refusals import is_contention
from chalicelib.services.context import Context
from chalicelib.services.truth import auditing
from tests.support.listings import listed_by_catalogue, listed_by_s3


def repair(ctx: Context, bucket: str) -> Audit:
    return auditing.audit(ctx, AuditRequest(bucket, repairs=True, brake=1, grace=timedelta()))


def test_a_repair_waits_for_who_holds_a_key_and_goes_on(
    ctx: Context, engine: Engine, s3: Any, plain_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    event.listen(engine, "connect", lambda link, _: link.cursor().execute("SET lock_timeout = 50"))
    s3.put_object(Bucket=plain_bucket, Key="k", Body=b"1")
    waited = list[float]()

    with engine.connect() as holder:
        lock_keys(Session(holder), [(plain_bucket, "k")])

        def pause(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 3:
                holder.rollback()

        monkeypatch.setattr(auditing.time, "sleep", pause)
        found = repair(ctx, plain_bucket)
    assert len(waited) >= 3
    assert (found.state, found.recorded, found.problem) == ("done", 1, None)
    assert listed_by_catalogue(engine, plain_bucket) == listed_by_s3(s3, plain_bucket)


def test_a_repair_doesn_t_wait_for_ever_and_gives_back_what_it_had_taken(
    ctx: Context, engine: Engine, s3: Any, plain_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    event.listen(engine, "connect", lambda link, _: link.cursor().execute("SET lock_timeout = 20"))
    monkeypatch.setattr(auditing, "_IDLE", 0.01)
    s3.put_object(Bucket=plain_bucket, Key="k", Body=b"1")
    with engine.connect() as holder:
        lock_keys(Session(holder), [(plain_bucket, "k")])
        with pytest.raises(DBAPIError) as refused:
            repair(ctx, plain_bucket)
        assert is_contention(refused.value)
        holder.rollback()

    with engine.connect() as connection:
        audit_id, worker = connection.execute(text("SELECT audit_id, worker FROM audit_ranges")).one()
    assert worker is None
    assert auditing.work_on_audit(ctx, audit_id)
    assert listed_by_catalogue(engine, plain_bucket) == listed_by_s3(s3, plain_bucket)
