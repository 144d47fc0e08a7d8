"""What API keys may do: the scope that each route needs, and the part of what their owner has."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.api.routes import ROUTES
from chalicelib.catalog.roles import KEY_SCOPES
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.jobs.queue import Steps, run_job
from tests.support.callers import Caller, Reply

pytestmark = pytest.mark.usefixtures("in_this_process")

OPERATOR = Caller()
UNKNOWN = "01890000-0000-7000-8000-000000000000"
ASKING = [route for route in ROUTES if not route.view.endpoint.anonymous]
# GETs that make something, or sign a request that does.
WRITING_GETS = {"/s3/params", "/s3/multipart/{upload_id}/batch", "/s3/multipart/{upload_id}/{part_number}"}
ADMINISTERED = (
    "/api/keys", "/api/users", "/api/barred-identities", "/api/audits", "/api/truth", "/api/dead-events", "/api/owner-rules",
)  # fmt: skip


def needed(method: str, path: str) -> set[str]:
    """What the documentation says."""
    if path == "/api/credentials":
        return {"read", "write"}
    gives_away = path.endswith("/hand-over") or (method != "GET" and "/members" in path)
    gives_away |= (method, path) == ("POST", "/api/files/{file_id}/shares")
    if path.startswith(ADMINISTERED) or gives_away:
        return {"admin"}
    return {"read"} if method == "GET" and path not in WRITING_GETS else {"write"}


@pytest.fixture
def ada() -> Caller:
    ada = OPERATOR.new_member()
    for session_id in ("one", "two"):
        assert ada("POST", "/api/sessions", {"session_id": session_id}).status == 201
    return ada


def said(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json["detail"]


def test_every_route_needs_a_scope_and_names_it_before_anything_else(ada: Caller) -> None:
    assert len(ASKING) > 60
    keys = {scope: ada.new_key(*(other for other in KEY_SCOPES if other != scope))[0] for scope in KEY_SCOPES}
    neither = ada.new_key("admin")[0]
    for route in ASKING:
        scopes = needed(route.method, route.path)
        values = {name[1:-1]: UNKNOWN for name in route.path.split("/") if name.startswith("{")}
        caller = neither if len(scopes) > 1 else keys[scopes.copy().pop()]
        reply = caller(route.method, route.path, **values)
        named = " or ".join(f"`{scope}`" for scope in KEY_SCOPES if scope in scopes)
        assert said(reply) == (403, f"This API key lacks the scope {named}."), (route.method, route.path)
        assert reply.json["type"] == "/problems/forbidden"


def test_with_its_scope_a_key_is_let_through(ada: Caller) -> None:
    reads, writes, administers = (ada.new_key(scope)[0] for scope in KEY_SCOPES)
    assert reads("GET", "/api/files").status == 200
    assert reads("HEAD", "/api/files").status == 200
    assert writes("POST", "/api/files", {"name": "a"}).status == 201
    assert administers("GET", "/api/users").status == 200
    assert administers("GET", "/api/keys").status == 200


def test_an_operators_key_is_an_operator_with_admin_only() -> None:
    boss = OPERATOR.new_member("Boss", "operator")
    stranger = OPERATOR.new_member()
    file_id = stranger.new_file()["id"]
    plain, _ = boss.new_key("read", "write")
    full, _ = boss.new_key("read", "write", "admin")
    assert full("GET", "/api/files/{file_id}", file_id=file_id).status == 200
    assert plain("GET", "/api/files/{file_id}", file_id=file_id).status == 404
    assert plain("DELETE", "/api/trash", query={"everyones": "true"}).status == 403
    assert full("GET", "/api/audits").status == 200


def test_a_job_may_do_no_more_than_the_key_that_made_it() -> None:
    boss = OPERATOR.new_member("Boss", "operator")
    plain, _ = boss.new_key("write", prefix=f"{boss.user_id}/in/")
    job_id = plain("DELETE", "/api/trash", query={"everyones": "false"}).json["id"]
    seen: list[Principal] = []

    def look_who_asks(work: Any) -> bool:
        seen.append(work.ctx.principal)
        return True

    with runtime.transaction() as session:
        session.execute(
            text("UPDATE jobs SET state = 'queued', run_after = now() - interval '1 second' WHERE id = :id"),
            {"id": job_id},
        )
    run_job(runtime.context(), {"empty_trash": Steps(look_who_asks)}, UUID(job_id), 1.0)
    [principal] = seen
    assert (principal.role, str(principal.user_id)) == ("member", boss.user_id)
    assert (principal.prefix, principal.session_id) == (f"{boss.user_id}/in/", None)


def test_a_part_sees_the_jobs_of_its_part(ada: Caller) -> None:
    prefix = f"{ada.user_id}/in/"
    mine, _ = ada.new_key("read", "write", prefix=prefix)
    again, _ = ada.new_key("read", prefix=prefix)
    other, _ = ada.new_key("read", "write", session_id="one")
    of_mine = mine("DELETE", "/api/trash").json["id"]
    of_other = other("DELETE", "/api/trash").json["id"]
    of_ada = ada("DELETE", "/api/trash").json["id"]
    for caller, visible in ((mine, [of_mine]), (again, [of_mine]), (other, [of_other])):
        assert [job["id"] for job in caller("GET", "/api/jobs").json["items"]] == visible
        statuses = {
            job_id: caller("GET", "/api/jobs/{job_id}", job_id=job_id).status for job_id in (of_mine, of_other, of_ada)
        }
        assert {job_id for job_id, status in statuses.items() if status == 200} == set(visible)
    assert len(ada("GET", "/api/jobs").json["items"]) == 3


@pytest.mark.parametrize("folder", ["in/", "in", "{user}/in", "", "0"])
def test_a_prefix_keys_uploads_go_below_its_prefix(ada: Caller, folder: str) -> None:
    own = f"{ada.user_id}/"
    prefix = {"": own, "0": own[:5]}.get(folder, own + folder.replace("{user}/", own))
    machine, _ = ada.new_key("write", prefix=prefix)
    made = machine.new_file("Übung 1.txt")
    assert made["key"].startswith(prefix)
    assert made["key"].startswith(own)
    assert made["key"].endswith(f"{made['id']}/Ubung-1.txt")
    companion = machine("GET", "/s3/params", query={"filename": "b", "type": "text/plain"})
    assert companion.json["fields"]["key"].startswith(prefix)
    signed = machine("POST", "/api/uploads/sign", {"method": "PUT", "key": "anything.txt"})
    assert signed.json["key"].startswith(prefix)


def test_a_prefix_key_for_somebody_elses_keys_makes_nothing(ada: Caller) -> None:
    bob = OPERATOR.new_member("Bob")
    for prefix in ("incoming/", f"{bob.user_id}/", "*"):
        machine, _ = ada.new_key("write", prefix=prefix)
        detail = f"A member's keys begin with its own id: {ada.user_id}/."
        assert said(machine("POST", "/api/files", {"name": "a"})) == (403, detail)
    assert ada("GET", "/api/files").json["items"] == []


def test_a_prefix_key_has_nothing_to_do_with_sessions(ada: Caller) -> None:
    prefix = f"{ada.user_id}/in/"
    machine, _ = ada.new_key("read", "write", prefix=prefix)
    file_id = machine.new_file()["id"]
    for reply in (
        machine("POST", "/api/sessions", {"session_id": "one"}),
        machine("POST", "/api/sessions", {}),
        machine("POST", "/api/files", {"name": "a", "session_id": "one"}),
        machine("PATCH", "/api/files/{file_id}", {"session_id": "one"}, file_id=file_id),
    ):
        assert said(reply) == (403, f"This API key is for files below {prefix}, and for no session.")


def test_a_session_keys_uploads_go_into_its_session_and_stay_there(ada: Caller) -> None:
    machine, _ = ada.new_key("read", "write", session_id="one")
    for fields in ({}, {"session_id": "one"}):
        assert machine.new_file(**fields)["session_id"] == "one"
    file_id = machine.new_file()["id"]
    for reply in (
        machine("POST", "/api/files", {"name": "a", "session_id": "two"}),
        machine("POST", "/api/files", {"name": "a", "session_id": "new"}),
        machine("PATCH", "/api/files/{file_id}", {"session_id": "two"}, file_id=file_id),
        machine("POST", "/api/sessions", {"session_id": "two"}),
    ):
        assert said(reply) == (403, "This API key is for the session one alone.")
    for method, body in (("PATCH", {"session_id": None}), ("PUT", {"name": "b"})):
        assert machine(method, "/api/files/{file_id}", body, file_id=file_id).json["session_id"] == "one"
    assert machine("POST", "/api/sessions", {"session_id": "one"}).status == 200


def test_a_sessions_keys_go_with_it(ada: Caller) -> None:
    machine, made = ada.new_key("read", session_id="one")
    assert ada("DELETE", "/api/sessions/{session_id}", session_id="one").status == 204
    assert ada("POST", "/api/sessions", {"session_id": "one"}).status == 201
    assert machine("GET", "/api/me").status == 401
    assert ada("GET", "/api/keys/{key_id}", key_id=made["id"]).status == 404
