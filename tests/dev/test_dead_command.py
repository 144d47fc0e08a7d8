"""The command ``dead``: events that failed all their tries are listed with the reason, tried again, thrown away."""

import argparse
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from chalicelib import runtime
from chalicelib.catalog.dead_events import Letter, Selection
from chalicelib.services.ingest.dead_events import settle_letter
from chalicelib.triggers.operations import migrate
from dev import dead_events
from dev.dead_events import DeadEvents, LocalDeadEvents, StageDeadEvents
from dev.problem import StackProblem
from tests.support.notifications import body, s3_record
from tests.support.process import start_over

GOOD = body(s3_record("ObjectCreated:Put", "a/ü.txt", bucket="landfall-local", size=1))
OTHER = body(s3_record("ObjectCreated:Put", "b.txt", bucket="landfall-local", size=1))
POISON = '{"no": "notification"}'


class Run:
    """Runs the command and says what it printed."""

    def __init__(self, events: DeadEvents, capsys: pytest.CaptureFixture[str]) -> None:
        self.events, self._capsys = events, capsys
        self.answers, self.questions = True, list[str]()

    def __call__(self, *arguments: str) -> str:
        parser = argparse.ArgumentParser()
        dead_events.add_arguments(parser)
        dead_events.run(parser.parse_args(arguments), self.events, self._confirm)
        return self._capsys.readouterr().out

    def _confirm(self, question: str) -> bool:
        self.questions.append(question)
        return self.answers


@pytest.fixture
def engine(new_migrated_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The application's database, with three dead events: two that can be recorded by now, and one that can never be."""
    monkeypatch.setenv("LANDFALL_DATABASE_URL", new_migrated_database())
    start_over()
    lay_away(POISON, days=3)
    for number, dead in enumerate((GOOD, OTHER)):
        lay_away(dead, days=number, error="The database was on fire.")
    yield runtime.engine()
    runtime.engine().dispose()
    start_over()


def lay_away(message: str, days: float = 0, error: str = "") -> None:
    """Have a message die, as when it was sent so many days ago."""
    sent_at = datetime.now(UTC) - timedelta(days=days)
    letter = Letter(str(uuid4()), message, sent_at)
    if error:
        from chalicelib.db.dead_events import add_dead_event

        with runtime.context().transaction() as tx:
            add_dead_event(tx.session, letter, error, tx.now)
    else:
        assert settle_letter(runtime.context(), letter)


@pytest.fixture(params=["local", "stage"])
def dead(engine: Engine, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Run:
    """The command, for a local stack and for a stage, whose function answers by JSON."""

    def invoke(event: dict[str, Any]) -> dict[str, Any]:
        return dict(json.loads(json.dumps(migrate(json.loads(json.dumps(event)), None))))

    is_local = request.param == "local"
    return Run(LocalDeadEvents(runtime.context()) if is_local else StageDeadEvents(invoke), capsys)


def left(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(text("SELECT body FROM dead_events")))


def keys(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(text("SELECT key FROM files")))


def test_each_event_is_listed_with_reason_and_age_and_stays(engine: Engine, dead: Run) -> None:
    for _ in range(2):
        listed = dead()
        assert "3 dead events.\n" in listed
        assert re.search(r"  [0-9a-f]{8}    \d s  landfall-local/a/ü\.txt\n +The database was on fire\.", listed)
        assert "The message is no S3, SNS, EventBridge or MinIO notification." in listed
    assert left(engine) == {GOOD, POISON, OTHER}

    whole = [json.loads(line) for line in dead("--json").splitlines()]
    assert [event["body"] for event in whole] == [POISON, OTHER, GOOD], "the oldest first"


def test_an_event_is_recorded_by_the_end_of_its_id(engine: Engine, dead: Run) -> None:
    [identifier] = [line.split()[0] for line in dead().splitlines() if "ü.txt" in line]
    assert dead("redrive", identifier) == "1 dead event recorded.\n"
    assert left(engine) == {POISON, OTHER}
    assert keys(engine) == {"a/ü.txt"}

    for action in ("list", "redrive", "discard"):
        with pytest.raises(StackProblem, match=f"no dead event {identifier}"):
            dead(action, identifier)


def test_all_events_of_a_kind_are_recorded_or_thrown_away(engine: Engine, dead: Run) -> None:
    assert dead("redrive", "--older-than", "7d") == "0 dead events recorded.\n"
    assert dead("redrive", "--about", "LOCAL/b.txt") == "1 dead event recorded.\n"
    assert dead("redrive", "--all") == "1 dead event recorded. 1 failed again.\n"
    assert (left(engine), keys(engine)) == ({POISON}, {"a/ü.txt", "b.txt"})

    assert dead("discard", "--reason", "no s3, sns", "--older-than", "2d") == "1 dead event thrown away.\n"
    assert dead.questions == ["Throw 1 dead event away for ever?"]
    assert dead("discard", "--all") == "0 dead events thrown away.\n"
    assert left(engine) == set()


def test_a_command_without_a_selection_is_refused(engine: Engine, dead: Run) -> None:
    for action in ("redrive", "discard"):
        with pytest.raises(StackProblem, match=f"Say which events to {action}"):
            dead(action)
        with pytest.raises(SystemExit):
            dead(action, "")

    dead.answers = False
    with pytest.raises(StackProblem, match="nothing was changed"):
        dead("discard", "--all")
    assert len(left(engine)) == 3


def test_many_that_fail_again_are_each_tried_once(engine: Engine, dead: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little time there is for a request."""
    monkeypatch.setattr("chalicelib.services.ingest.dead_events._SECONDS", 0.01)
    for number in range(60):
        lay_away(f"{number}")
    assert dead("redrive", "--all") == "2 dead events recorded. 61 failed again.\n"
    assert dead("discard", "--reason", "not a JSON object") == "60 dead events thrown away.\n"
    assert "1 dead event." in dead()


def test_what_somebody_else_redrives_is_left_to_them(engine: Engine, dead: Run) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT FROM dead_events WHERE about LIKE '%b.txt' FOR UPDATE"))
        assert dead("redrive", "--reason", "on fire") == "1 dead event recorded.\n"
    assert left(engine) == {POISON, OTHER}


def test_control_characters_of_an_event_are_escaped(engine: Engine, dead: Run) -> None:
    odd = body(s3_record("ObjectCreated:Put", "a\x1b[2J\nforged \u202eü", bucket="landfall-local"))
    lay_away(odd, error="-")
    lay_away("b\r\x9bm\x00")

    listed = dead("list")
    assert r"a\x1b[2J\nforged \u202eü" in listed
    assert r"b\r\x9bm" in listed


def test_a_selection_that_a_stage_does_not_understand_is_refused(engine: Engine) -> None:
    with pytest.raises(Exception, match="none of list, redrive, discard"):
        migrate({"action": "dead", "do": "bury"}, None)


def test_a_list_that_no_answer_holds_is_cut(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        lay_away(f"{number}" * 1_000_000)
    assert len(StageDeadEvents(lambda event: migrate(event, None)).find(Selection(), 1000)) < 7
    assert len(LocalDeadEvents(runtime.context()).find(Selection(), 1000)) == 7


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59, "59 s"), (3599, "59 m"), (7300, "2 h"), (200_000, "2 d")]
)
def test_an_age_is_shown_in_its_largest_unit(seconds: int, shown: str) -> None:
    assert dead_events._short(timedelta(seconds=seconds)) == shown


def test_an_unreadable_age_is_refused(engine: Engine, dead: Run) -> None:
    with pytest.raises(SystemExit):
        dead("list", "--older-than", "soon")
