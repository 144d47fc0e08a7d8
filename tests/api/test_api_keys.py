"""API keys: made once, shown once, bounded, and gone with the next request."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from chalicelib import runtime
from tests.support.callers import Caller, Reply, bearer, made_up_secret
from tests.support.process import start_over

OPERATOR = Caller()


pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def ada() -> Caller:
    return OPERATOR.new_member()


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def change(statement: str, **values: Any) -> None:
    with runtime.transaction() as session:
        session.execute(text(statement), values)


def kind_of(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json["type"].removeprefix("/problems/")


def lines(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def test_a_key_acts_for_its_owner_and_its_secret_is_shown_once(ada: Caller) -> None:
    machine, made = ada.new_key("read", "write", "admin", name="export")
    assert machine("GET", "/api/me").json["id"] == ada.user_id
    assert made["owner_id"] == ada.user_id
    assert made["secret"].startswith(f"lf_{made['id'].replace('-', '')}_")

    shown = ada("GET", "/api/keys/{key_id}", key_id=made["id"]).json
    assert "secret" not in shown
    assert shown == {name: value for name, value in made.items() if name != "secret"} | {
        "last_used_on": datetime.now(UTC).date().isoformat()
    }
    assert ada("GET", "/api/keys").json["items"] == [shown]
    with runtime.transaction() as session:
        kept = session.execute(text("SELECT row_to_json(k)::text FROM api_keys AS k")).scalars().all()
    assert made["secret"].rpartition("_")[2] not in "".join(kept)


def test_what_a_key_says_of_itself_is_bounded(ada: Caller) -> None:
    ada("POST", "/api/sessions", {"session_id": "s"})
    good: dict[str, Any] = {"name": "n", "scopes": ["read"]}
    for wrong in (
        {"name": ""},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"prefix": ""},
        {"prefix": "a\nb"},
        {"prefix": "ü" * 257},
        {"prefix": "a/", "session_id": "s"},
        {"prefix": "a/", "scopes": ["admin"]},
        {"session_id": "s", "scopes": ["read", "admin"]},
        {"expires_at": in_days(-1)},
        {"expires_at": in_days(3_700)},
        {"expires_at": "2030-01-01T00:00:00"},
    ):
        assert kind_of(ada("POST", "/api/keys", good | wrong)) == (400, "invalid-input"), wrong
    assert kind_of(ada("POST", "/api/keys", good | {"session_id": "another"})) == (422, "unprocessable")
    assert ada("POST", "/api/keys", good | {"session_id": "s"}).status == 201
    assert ada("GET", "/api/keys").json["items"][0]["scopes"] == ["read"]


@pytest.mark.parametrize("form", ["lf_", "lf_1_2", "LF_x", "{}x", "{} ", "x{}", "{},Bearer {}"])
def test_a_key_in_another_form_is_none(ada: Caller, form: str) -> None:
    _, made = ada.new_key("read")
    reply = bearer(form.format(made["secret"], made["secret"]) + ("x" if form == "{} " else ""))("GET", "/api/me")
    if form in ("LF_x", "x{}"):  # no key at all: as any other header that this stage ignores
        assert reply.status == 200
        return
    assert kind_of(reply) == (401, "unauthenticated")
    assert made["secret"] not in json.dumps(reply.json)


def test_a_token_that_holds_the_letters_of_a_key_is_none() -> None:
    assert bearer("eyJlf_x.lf_x.xlf_")("GET", "/api/me").status == 200  # as any token where no provider is named


def test_a_refused_key_is_told_why_and_the_log_names_it_without_its_secret(
    ada: Caller, capsys: pytest.CaptureFixture[str]
) -> None:
    revoked, one = ada.new_key("read")
    ada("DELETE", "/api/keys/{key_id}", key_id=one["id"])
    expired, other = ada.new_key("read", expires_at=in_days(1))
    change("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = :id", id=other["id"])
    third = ada.new_key("read")[1]
    wrong = third["secret"][:-43] + "A" * 43
    unknown = made_up_secret()
    capsys.readouterr()
    for caller, detail, reason in (
        (revoked, "The API key was revoked.", "revoked API key"),
        (expired, "The API key has expired.", "expired API key"),
        (bearer(wrong), "There is no such API key.", "wrong secret"),
        (bearer(unknown), "There is no such API key.", "no such API key"),
    ):
        reply = caller("GET", "/api/files")
        assert (kind_of(reply), reply.json["detail"]) == ((401, "unauthenticated"), detail)
        assert reply.headers["WWW-Authenticate"] == "Bearer"
        printed = capsys.readouterr().out
        [told] = [line for line in lines(printed) if line["message"] == "caller refused"]
        sent = caller.headers["Authorization"].removeprefix("Bearer ")
        assert (told["reason"], told["key_id"].replace("-", "")) == (reason, sent.split("_")[1])
        assert sent.split("_", 2)[2] not in printed + json.dumps(reply.json)


def test_keys_come_in_one_header_only(ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    _, made = ada.new_key("read")
    monkeypatch.setenv("LANDFALL_IDENTITY", "oidc")
    monkeypatch.setenv("LANDFALL_OIDC_ISSUERS", "https://login.example.com/")
    monkeypatch.setenv("LANDFALL_OIDC_AUDIENCES", "landfall")
    start_over()
    assert bearer(made["secret"])("GET", "/api/me").json["id"] == ada.user_id
    for headers in ({"Cookie": f"Authorization=Bearer {made['secret']}"}, {"X-Api-Key": made["secret"]}):
        assert Caller(headers)("GET", "/api/me").status == 401
    assert Caller()("GET", "/api/me", query={"access_token": made["secret"]}).status == 401
    assert Caller({"Authorization": f"Basic {made['secret']}"})("GET", "/api/me").status == 401


def test_a_key_of_a_deployment_that_identifies_nobody_is_refused(ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, _ = ada.new_key("read")
    monkeypatch.setenv("LANDFALL_IDENTITY", "none")
    start_over()
    assert machine("GET", "/api/me").status == 401


def test_a_revoked_key_takes_along_those_that_it_made_and_others_stay(ada: Caller) -> None:
    machine, made = ada.new_key("read", "admin")
    child, _ = machine.new_key("read", "admin")
    grandchild, last = child.new_key("read")
    other, _ = ada.new_key("read")
    assert last["made_by"] is not None
    for _ in range(2):
        assert ada("DELETE", "/api/keys/{key_id}", key_id=made["id"]).status == 204
    assert [one("GET", "/api/me").status for one in (machine, child, grandchild, other)] == [401, 401, 401, 200]


def test_of_anothers_key_nothing_is_known(ada: Caller) -> None:
    _, made = ada.new_key("read")
    bob = OPERATOR.new_member("Bob")
    for method in ("GET", "DELETE"):
        assert kind_of(bob(method, "/api/keys/{key_id}", key_id=made["id"])) == (404, "not-found")
        unknown = "01890000-0000-7000-8000-000000000000"
        assert kind_of(bob(method, "/api/keys/{key_id}", key_id=unknown)) == (404, "not-found")
    assert bob("GET", "/api/keys").json["items"] == []
    # An operator ends anybody's.
    assert OPERATOR("DELETE", "/api/keys/{key_id}", key_id=made["id"]).status == 204


def test_a_key_makes_none_that_is_stronger(ada: Caller) -> None:
    ends = in_days(10)
    machine, _ = ada.new_key("read", "admin", expires_at=ends)
    for wish in (
        {"scopes": ["write"], "expires_at": ends},
        {"scopes": ["read"]},
        {"scopes": ["read"], "expires_at": in_days(11)},
    ):
        assert kind_of(machine("POST", "/api/keys", {"name": "n", **wish})) == (403, "forbidden"), wish
    weaker, _ = machine.new_key("read", expires_at=in_days(9), prefix=f"{ada.user_id}/x/")
    assert kind_of(weaker("POST", "/api/keys", {"name": "n", "scopes": ["read"]})) == (403, "forbidden")


def test_a_demoted_owners_keys_are_demoted_and_a_deleted_owners_are_gone() -> None:
    boss = OPERATOR.new_member("Boss", "operator")
    machine, _ = boss.new_key("read", "admin")
    assert machine("GET", "/api/audits").status == 200
    OPERATOR("PATCH", "/api/users/{user_id}", {"role": "member"}, user_id=boss.user_id)
    assert kind_of(machine("GET", "/api/audits")) == (403, "forbidden")
    assert machine("GET", "/api/me").json["role"] == "member"
    assert OPERATOR("DELETE", "/api/users/{user_id}", user_id=boss.user_id).status == 204
    assert machine("GET", "/api/me").json["detail"] == "There is no such API key."


def test_nobody_has_more_keys_than_a_hundred_that_work(ada: Caller) -> None:
    change(
        """INSERT INTO api_keys (id, owner_id, name, scopes, secret_hash, expires_at, created_at)
        SELECT gen_random_uuid(), :owner, 'n', '{read}', '', CASE WHEN n > 99 THEN now() END, now()
        FROM generate_series(1, 150) AS n""",
        owner=ada.user_id,
    )

    def make(_: int) -> Reply:
        return ada("POST", "/api/keys", {"name": "n", "scopes": ["read"]})

    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(make, range(4)))
    assert sorted(reply.status for reply in replies) == [201, 400, 400, 400]
    assert next(reply for reply in replies if reply.status == 400).json["detail"].startswith("Nobody has more than 100")


def test_ended_keys_are_listed_and_the_oldest_of_very_many_are_forgotten(ada: Caller) -> None:
    change(
        """INSERT INTO api_keys (id, owner_id, name, scopes, secret_hash, expires_at, revoked_at, created_at)
        SELECT lpad(n::text, 32, '0')::uuid, :owner, n::text, '{read}', '', CASE WHEN n > 450 THEN now() END,
            CASE WHEN n <= 450 THEN now() END, now() FROM generate_series(1, 905) AS n""",
        owner=ada.user_id,
    )
    works = ada.new_key("read", name="works")[1]
    names = [key["name"] for key in ada("GET", "/api/keys", query={"limit": "1000"}).json["items"]]
    assert names == [str(number) for number in range(6, 906)] + [works["name"]]


def test_a_key_that_is_revoked_while_it_makes_one_leaves_none_behind(ada: Caller) -> None:
    for _ in range(5):
        machine, made = ada.new_key("read", "admin")
        with ThreadPoolExecutor(2) as pool:
            making = pool.submit(machine, "POST", "/api/keys", {"name": "n", "scopes": ["read"]})
            revoking = pool.submit(ada, "DELETE", "/api/keys/{key_id}", key_id=made["id"])
        assert revoking.result().status == 204
        assert making.result().status in (201, 401)
        assert all(key["revoked_at"] for key in ada("GET", "/api/keys").json["items"])


def test_the_first_uses_of_a_day_wait_for_nobody_and_are_noted_once(ada: Caller) -> None:
    machine, made = ada.new_key("read")
    with runtime.transaction() as session:  # another request that has begun to note it
        session.execute(text("UPDATE api_keys SET name = 'm' WHERE id = :id"), {"id": made["id"]})
        assert machine("GET", "/api/me").status == 200
    assert ada("GET", "/api/keys/{key_id}", key_id=made["id"]).json["last_used_on"] is None
    with ThreadPoolExecutor(4) as pool:
        assert {reply.status for reply in pool.map(lambda _: machine("GET", "/api/me"), range(8))} == {200}
    day = datetime.now(UTC).date().isoformat()
    assert ada("GET", "/api/keys/{key_id}", key_id=made["id"]).json["last_used_on"] == day
