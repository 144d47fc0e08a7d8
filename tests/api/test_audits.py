"""Audits by route: what an operator asks for, sees and ends, and that nobody else does."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from tests.support.api import UNKNOWN_ID, Api, assert_problem
from tests.support.clockwork import Clockwork


@pytest.fixture
def prefix(s3: Any) -> str:
    """Three objects that no event told of."""
    prefix = f"audited-{uuid4()}/"
    for name in "abc":
        s3.put_object(Bucket="versioned", Key=prefix + name, Body=b"12345")
    return prefix


def ask(api: Api, **wish: Any) -> dict[str, Any]:
    answer = api("POST", "/api/audits", {"grace_seconds": 0, **wish})
    assert answer.status == 202, answer.body
    assert answer.headers["Location"].endswith(f"/api/audits/{answer.json['id']}")
    audit: dict[str, Any] = api("GET", f"/api/audits/{answer.json['id']}").json
    return audit


def test_an_audit_counts_and_a_repair_records(files_api: Api, prefix: str) -> None:
    found = ask(files_api, prefix=prefix)
    assert (found["state"], found["compared"], found["missing"], found["recorded"]) == ("done", 3, 3, 0)
    assert [(one["key"], one["kind"]) for one in found["examples"]] == [(prefix + name, "missing") for name in "abc"]
    assert files_api("GET", f"/api/files?prefix={prefix}").json["items"] == []

    repaired = ask(files_api, prefix=prefix, repairs=True)
    assert (repaired["missing"], repaired["recorded"]) == (3, 3)
    files = files_api("GET", f"/api/files?prefix={prefix}").json["items"]
    assert sorted((file["key"], file["size"]) for file in files) == [(prefix + name, 5) for name in "abc"]
    assert ask(files_api, prefix=prefix)["missing"] == 0


def test_audits_are_listed_the_newest_first(files_api: Api, prefix: str) -> None:
    first, second = ask(files_api, prefix=prefix)["id"], ask(files_api, prefix=prefix)["id"]
    listed = files_api("GET", "/api/audits?limit=1")
    assert [audit["id"] for audit in listed.json["items"]] == [second]
    assert files_api.follow(listed.headers["Link"].split(">")[0][1:]).json["items"][0]["id"] == first


def test_truth_says_since_when_a_whole_bucket_is_known(plain_files_api: Api, s3: Any) -> None:
    def truth() -> dict[str, Any]:
        buckets = plain_files_api("GET", "/api/truth").json["buckets"]
        (found,) = (bucket for bucket in buckets if bucket["bucket"] == "plain")
        return found

    s3.put_object(Bucket="plain", Key=f"untold-{uuid4()}", Body=b"1")
    audit = ask(plain_files_api)
    assert audit["missing"] > 0
    assert truth()["last_audit"] == audit["id"]
    assert truth()["last_drift"] >= audit["missing"]
    agreed_before = truth()["agreed_at"]

    repair = ask(plain_files_api, repairs=True, brake=1)
    assert truth()["agreed_at"] == repair["created_at"] != agreed_before
    ask(plain_files_api, prefix="some/")  # tells nothing of the whole bucket
    assert truth() == {**truth(), "last_audit": repair["id"], "agreed_at": repair["created_at"], "unsure": 0}


def test_a_store_that_does_not_answer_leaves_an_audit_to_the_clock(api_without_s3: Api) -> None:
    audit = ask(api_without_s3)
    assert (audit["state"], audit["compared"], audit["finished_at"]) == ("listing", 0, None)
    assert "does not answer" in audit["problem"]

    ended = api_without_s3("POST", f"/api/audits/{audit['id']}/cancel")
    assert ended.json["state"] == "cancelled"
    assert_problem(api_without_s3("POST", f"/api/audits/{audit['id']}/cancel"), 409, "conflict")


def test_the_clock_goes_on_with_audits(files_api: Api, prefix: str, engine: Engine, clockwork: Clockwork) -> None:
    from chalicelib.catalog.audits import AuditRequest
    from chalicelib.services.truth.auditing import begin_audit, work_on_audits

    with clockwork.context().transaction() as tx:
        audit_id = begin_audit(tx, AuditRequest("versioned", prefix, repairs=True))
    assert files_api("GET", f"/api/audits/{audit_id}").json["state"] == "listing"
    assert work_on_audits(clockwork.context(), 30, 1000) >= 1

    assert files_api("GET", f"/api/audits/{audit_id}").json["recorded"] == 3
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM audits WHERE finished_at IS NULL")) == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"brake": 1.1}, "brake"),
        ({"brake": -0.1}, "brake"),
        ({"grace_seconds": -1}, "grace_seconds"),
        ({"prefix": "x" * 1025}, "prefix"),
        ({"prefix": "a\x00b"}, "prefix"),
        ({"repair": True}, "repair"),
        ({"bucket": ""}, "bucket"),
    ],
)
def test_what_makes_no_sense_is_refused(files_api: Api, body: dict[str, Any], field: str) -> None:
    assert_problem(files_api("POST", "/api/audits", body), 400, "invalid-input", ("body", field))


def test_a_bucket_that_is_not_recorded_is_refused(files_api: Api) -> None:
    assert_problem(files_api("POST", "/api/audits", {"bucket": "elsewhere"}), 404, "not-found")


def test_only_operators_see_and_ask_for_audits(files_api: Api, owner: Api, prefix: str) -> None:
    audit = ask(files_api, prefix=prefix)["id"]
    for method, path in (
        ("GET", "/api/audits"), ("GET", f"/api/audits/{audit}"), ("POST", f"/api/audits/{audit}/cancel"),
        ("GET", f"/api/audits/{UNKNOWN_ID}"), ("GET", "/api/truth"),
    ):  # fmt: skip
        assert_problem(owner(method, path), 403, "forbidden")
    assert_problem(owner("POST", "/api/audits", {}), 403, "forbidden")


def test_an_audit_that_is_not_there_is_not_found(files_api: Api) -> None:
    assert_problem(files_api("GET", f"/api/audits/{UNKNOWN_ID}"), 404, "not-found")
    assert_problem(files_api("POST", f"/api/audits/{UNKNOWN_ID}/cancel"), 404, "not-found")
