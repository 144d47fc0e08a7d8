"""The steps of an audit that a state machine runs: begun, worked on by several functions, ended."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

import app
from chalicelib.errors import InvalidInput, NotFound
from dev.event_source import Context
from tests.support.backend import BUCKET, Backend


def in_time() -> Context:
    """A function that was called just now: one made with the module would have run out before a long suite comes here."""
    return Context("audit", 900)


def test_workers_share_what_was_begun(backend: Backend) -> None:
    for number in range(30):
        backend.s3.put_object(Bucket=BUCKET, Key=f"untold/{number}", Body=b"1")

    begun = app.audit({"action": "begin", "wish": {"repairs": True, "workers": 3, "prefix": "untold/"}}, in_time())
    assert begun["workers"] == [0, 1, 2]
    assert app.audit({"action": "end", "audit": begun["audit"]}, in_time())["state"] == "listing"
    with ThreadPoolExecutor(3) as pool:
        step = {"action": "work", "audit": begun["audit"]}
        done = list(pool.map(lambda _: app.audit(step, in_time()), begun["workers"]))
    assert done == [{"audit": begun["audit"], "is_done": True}] * 3
    found = app.audit({"action": "end", "audit": begun["audit"]}, in_time())
    assert (found["state"], found["compared"], found["recorded"], found["problem"]) == ("done", 30, 30, None)


def test_a_worker_gives_way_before_its_function_ends(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.services.truth.auditing._take_step", lambda *_: False)
    begun = app.audit({"action": "begin"}, in_time())
    step = {"action": "work", "audit": begun["audit"]}
    assert app.audit(step, Context("audit", 121)) == {"audit": begun["audit"], "is_done": False}


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"brake": 2}, "share from 0 to 1"),
        ({"brake": "0.1"}, "share from 0 to 1"),
        ({"workers": 0}, "number from 1 to 1000"),
        ({"workers": 1.5}, "number from 1 to 1000"),
        ({"bucket": "unheard-of"}, "doesn't record the bucket 'unheard-of'"),
        ({"repair": True}, "knows nothing of repair"),
    ],
)
def test_a_wish_that_makes_no_sense_begins_nothing(backend: Backend, wish: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        app.audit({"action": "begin", "wish": wish}, in_time())


def test_unknown_steps_and_audits_are_refused(backend: Backend) -> None:
    with pytest.raises(InvalidInput, match="none of begin, work, end"):
        app.audit({"action": "stop", "audit": str(uuid4())}, in_time())
    with pytest.raises(NotFound):
        app.audit({"action": "end", "audit": str(uuid4())}, in_time())
