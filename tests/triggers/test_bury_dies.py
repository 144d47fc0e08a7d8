"""The function that gets dead events, and redriving them, killed between any two steps: no event is lost, or recorded twice."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from sqlalchemy import text

import app
from chalicelib import runtime
from chalicelib.catalog.dead_events import Selection
from chalicelib.services.ingest.dead_events import redrive
from dev.event_source import Context
from tests.support.forks import Fault, in_fork
from tests.support.notifications import body, s3_record, sqs_event
from tests.support.process import start_over

CONTEXT = Context("bury", 30)
GOOD = body(s3_record("ObjectCreated:Put", "late.txt", bucket="landfall-local", size=1))


@pytest.fixture
def ask(new_migrated_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    monkeypatch.setenv("LANDFALL_DATABASE_URL", new_migrated_database())
    start_over()

    def ask(query: str) -> Any:
        with runtime.transaction() as session:
            return session.scalar(text(query))

    yield ask
    runtime.engine().dispose()
    start_over()


def letters() -> dict[str, Any]:
    event = sqs_event("{", GOOD, "[", queue="landfall-events-dead")
    for record in event["Records"]:
        record["attributes"]["SentTimestamp"] = "1700000000000"
    return event


@pytest.mark.parametrize("fault", ["die_at", "lose_at", "fail_at"])
def test_letters_that_come_again_after_a_death_are_settled_once(ask: Callable[[str], Any], fault: str) -> None:
    for step in count(1):
        with runtime.transaction() as session:
            session.execute(text("TRUNCATE files, object_versions, file_events, dead_events CASCADE"))
        first = in_fork(lambda: app.bury(letters(), CONTEXT), Fault(**{fault: step}))
        assert first.died or not first.error
        assert app.bury(letters(), CONTEXT) == {"batchItemFailures": []}
        assert ask("SELECT count(*) FROM dead_events") == 2, first.steps
        assert ask("SELECT count(*) FROM file_events") == 1, first.steps
        assert ask("SELECT state FROM files") == "stored", first.steps
        if len(first.steps) < step:
            return


@pytest.mark.parametrize("fault", ["die_at", "lose_at", "fail_at"])
def test_a_redrive_that_dies_leaves_each_event_dead_or_recorded(ask: Callable[[str], Any], fault: str) -> None:
    for step in count(1):
        with runtime.transaction() as session:
            session.execute(text("TRUNCATE files, object_versions, file_events, dead_events CASCADE"))
            session.execute(
                text("""
                INSERT INTO dead_events (id, message_id, body, about, reason, sent_at, tried_at)
                SELECT gen_random_uuid(), n, CASE WHEN n = '2' THEN '{' ELSE :good END, '', '', '2026-01-01', '2026-01-01'
                FROM unnest(ARRAY['1', '2', '3']) AS n"""),
                {"good": GOOD},
            )
        first = in_fork(lambda: redrive(runtime.context(), Selection()), Fault(**{fault: step}))
        recorded = ask("SELECT count(*) FROM file_events")
        assert ask("SELECT count(*) FROM dead_events") >= (1 if recorded else 3), first.steps

        left = redrive(runtime.context(), Selection())
        assert (left.failed, ask("SELECT count(*) FROM dead_events")) == (1, 1), first.steps
        assert ask("SELECT count(*) FROM file_events") == 1, first.steps
        if len(first.steps) < step:
            return
