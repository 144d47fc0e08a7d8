"""Routes of dead events: for operators alone; listed, read, tried again, thrown away."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from chalicelib.catalog.dead_events import Letter
from chalicelib.db.dead_events import add_dead_event
from chalicelib.db.engine import transaction
from tests.support.api import Api, assert_problem
from tests.support.notifications import body, s3_record


@pytest.fixture
def about(engine: Engine) -> str:
    """The common part of what two dead events are about: one can be recorded, the other can't."""
    name = f"dead-{uuid4()}"
    good = body(s3_record("ObjectCreated:Put", f"{name}/good", bucket="versioned", version_id="v1", size=1))
    now = datetime.now(UTC) - timedelta(seconds=10)
    with transaction(engine) as session:
        add_dead_event(session, Letter(f"{name}-1", good, now - timedelta(days=2)), "The database was away.", now)
        add_dead_event(
            session, Letter(f"{name}-2", f"{name} is no event", now), "It is no event.", now + timedelta(seconds=1)
        )
    return name


def listed(api: Api, query: str) -> list[dict[str, Any]]:
    return list(api("GET", f"/api/dead-events?{query}").json["items"])


def test_they_are_listed_by_what_they_are_about_and_why(files_api: Api, about: str) -> None:
    found = listed(files_api, f"about={about}")
    assert [one["about"] for one in found] == [f"{about} is no event", f"versioned/{about}/good"]
    assert [one["reason"] for one in listed(files_api, f"about={about}&reason=AWAY")] == ["The database was away."]
    before = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert len(listed(files_api, f"about={about}&sent_before={before}")) == 1
    first = files_api("GET", f"/api/dead-events?about={about}&limit=1").json
    assert listed(files_api, f"about={about}&limit=1&cursor={first['next_cursor']}") == found[1:]

    whole = files_api("GET", f"/api/dead-events/{found[0]['id']}").json
    assert whole == found[0] | {"body": f"{about} is no event"}
    assert_problem(files_api("GET", f"/api/dead-events/{uuid4()}"), 404, "not-found")


def test_what_can_be_recorded_is_dead_no_more(files_api: Api, about: str) -> None:
    redriven = files_api("POST", "/api/dead-events/redrive", {"about": about})
    assert redriven.json == {"recorded": 1, "failed": 1, "left": 0}
    assert [file["key"] for file in files_api("GET", f"/api/files?prefix={about}/").json["items"]] == [f"{about}/good"]
    (failed,) = listed(files_api, f"about={about}")
    assert failed["reason"] != "It is no event.", "it is that of the last try"

    assert files_api("POST", "/api/dead-events/discard", {"ids": [failed["id"]]}).json == {"discarded": 1}
    assert listed(files_api, f"about={about}") == []


@pytest.mark.parametrize("action", ["redrive", "discard"])
def test_nothing_is_selected_by_mistake(files_api: Api, about: str, action: str) -> None:
    for selection in ({}, {"all": False}, {"reason": ""}, {"ids": []}):
        assert_problem(files_api("POST", f"/api/dead-events/{action}", selection), 422, "unprocessable")
    assert_problem(
        files_api("POST", f"/api/dead-events/{action}", {"ids": ["x"]}), 400, "invalid-input", ("body", "ids.0")
    )
    for moment in ("soon", 0.5, "2026-01-01", "2026-01-01T00:00:00"):
        wanted = {"about": about, "tried_before": moment}
        assert_problem(
            files_api("POST", f"/api/dead-events/{action}", wanted), 400, "invalid-input", ("body", "tried_before")
        )
    assert_problem(files_api("GET", "/api/dead-events?sent_before=0.5"), 400, "invalid-input", ("query", "sent_before"))
    assert len(listed(files_api, f"about={about}")) == 2


def test_members_see_nothing_of_them(owner: Api) -> None:
    for method, path, sent in (
        ("GET", "/api/dead-events", None),
        ("GET", f"/api/dead-events/{uuid4()}", None),
        ("POST", "/api/dead-events/redrive", {"all": True}),
        ("POST", "/api/dead-events/discard", {"all": True}),
    ):
        assert_problem(owner(method, path, sent), 403, "forbidden")
