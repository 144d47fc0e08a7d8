"""The functions that run by the clock, called as Lambda calls them."""

import json

import pytest
from sqlalchemy import text

import app
from chalicelib import runtime
from chalicelib.db.models import Job
from chalicelib.triggers import schedules
from dev.event_source import scheduled_event
from tests.support.backend import BUCKET, Backend


def state_of(job: Job) -> str:
    with runtime.transaction() as session:
        return session.get_one(Job, job.id).state


def test_the_schedule_finishes_a_job(backend: Backend) -> None:
    job = backend.begin_move(backend.store_file())

    assert schedules.work({}, None)["jobs"] >= 1
    assert state_of(job) == "done"


def test_a_task_that_fails_does_not_keep_others_from_running(backend: Backend) -> None:
    job = backend.begin_move(backend.store_file())
    with runtime.transaction() as session:
        session.execute(text("ALTER TABLE uploads RENAME COLUMN judged_rank TO unheard_of"))

    with pytest.raises(schedules.WorkFailed, match="'refused': -1"):
        schedules.work({}, None)
    assert state_of(job) == "done"


def test_the_clock_puts_right_what_no_event_told_of_and_says_how_well_the_bucket_is_known(
    backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    backend.s3.put_object(Bucket=BUCKET, Key="untold", Body=b"12345")

    assert schedules.work({}, None)["audits"] == 1
    with runtime.transaction() as session:
        assert session.scalar(text("SELECT size FROM files WHERE key = 'untold'")) == 5
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    metrics = [line for line in lines if line.get("Bucket") == BUCKET]
    merged = {name: value for line in metrics for name, value in line.items() if name != "_aws"}
    assert 0 <= merged.pop("TruthAge") < 60
    assert merged == {"Bucket": BUCKET, "Drift": 0, "Doubts": 0, "Braked": 0, "DeadEvents": 0}


def test_the_maintenance_makes_the_partitions_of_the_coming_months(backend: Backend) -> None:
    event = scheduled_event("maintain", runtime.now(), "us-east-1")

    assert app.maintain(event, None) == {"partitions": [], "audits": 0, "acts": 0, "rates": 0}, (
        "the migration made them"
    )
    with runtime.transaction() as session:
        made = session.execute(text("SELECT count(*) FROM pg_class WHERE relname ~ '^file_events_[0-9_]{7}$'"))
        assert made.scalar_one() >= 5
