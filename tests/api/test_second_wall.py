"""The wall inside PostgreSQL alone: on every route, for a member whose own scope the service has forgotten.

`tests/db/test_member_tables.py` has the same for every table.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from chalicelib.api.routes import ROUTES
from chalicelib.db.engine import transaction
from chalicelib.db.scope import EVERYONE, Owner
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.context import Transaction
from tests.support.gateway import send
from tests.support.tenants import (
    ADA,
    AUDIT,
    BUCKET,
    DELETED,
    EVE,
    JOB,
    PENDING,
    SECRET,
    SHARE,
    STORED,
    tables,
)

KEY = f"{ADA}/out/p"
_TREE = {"bucket": BUCKET, "prefix": f"{ADA}/in/"}
_ADAS = {
    "file_id": str(STORED),
    "user_id": str(ADA),
    "session_id": SECRET,
    "job_id": str(JOB),
    "share_id": str(SHARE),
    "key_id": str(SHARE),
    "rule_id": str(SHARE),
    "identity_id": str(SHARE),
    "member_id": str(JOB),
    "audit_id": str(AUDIT),
    "event_id": str(AUDIT),
    "upload_id": "m1",
    "part_number": "1",
    "token": "a" * 43,
    "name": "not-found",
    "asset": "x",
}
_QUERIES: dict[str, list[dict[str, str]]] = {
    "list_files": [
        {},
        {"sort": "-size", "state": "any"},
        {"q": SECRET},
        {"q": SECRET, "exact": "true"},
        {"tag": SECRET},
        {"metadata.a": SECRET},
        {"key": f"{ADA}/in/{SECRET}.txt"},
        {"prefix": f"{ADA}/"},
        {"state": "deleted"},
    ],
    "count_files": [{"by": "type,session,tag,month,state"}, {"by": "tag", "q": SECRET}, {"by": "tag", "exact": "true"}],
    "list_session_files": [{}, {"q": SECRET}],
    "list_folders": [{"bucket": BUCKET}, {**_TREE, "exact": "true"}],
    "delete_folder": [_TREE],
    "empty_trash": [{}, {"everyones": "true"}],
    "get_form": [{"filename": "mine", "type": "text/plain"}],
    "download_file": [{}, {"version_id": "v1"}],
    **{name: [{"key": KEY}] for name in ("list_held_parts", "abort_multipart", "complete_multipart", "sign_part")},
    "sign_some_parts": [{"key": KEY, "partNumbers": "1"}],
}
_BODIES: dict[str, Any] = {
    "create_user": {"name": "Mallory"},
    "put_member": {"user_id": str(EVE), "role": "editor"},
    "patch_member": {"role": "editor"},
    "hand_over": {"user_id": str(EVE)},
    "hand_over_session": {"user_id": str(EVE)},
    "create_owner_rule": {"prefix": f"{ADA}/", "user_id": str(EVE)},
    "create_key": {"name": "mine", "scopes": ["read"]},
    "replace_user": {"name": "Mallory"},
    "patch_user": {"name": "Mallory"},
    "open_session": {"session_id": SECRET},
    "create_file": {"name": "mine", "session_id": "mine"},
    "complete_upload": {},
    "copy_file": {},
    "create_multipart": {"filename": "mine", "type": "text/plain", "metadata": {}},
    "create_audit": {"bucket": BUCKET},
    "redrive_dead_events": {"ids": [str(AUDIT)]},
    "discard_dead_events": {"ids": [str(AUDIT)]},
    "patch_file": {"name": "mine"},
    "replace_file": {"name": "mine"},
    "sign_parts": {"part_numbers": [1]},
    "move_file": {"key": f"{EVE}/mine"},
    "restore_file": {"version_id": "v1"},
    "bulk_delete": {"file_ids": [str(STORED), str(DELETED)]},
    "bulk_restore": {"file_ids": [str(STORED), str(DELETED)]},
    "create_zip": {"file_ids": [str(STORED)]},
    "create_share": {"seconds": 60},
    "complete_multipart": {"parts": [{"PartNumber": 1, "ETag": "e"}]},
    "sign_request": {"method": "DELETE", "key": KEY},
    "patch_session": {"name": "mine"},
    "replace_session": {"name": "mine"},
}


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements are for everybody, or for Ada where they are for one. The transactions still act for the caller."""
    monkeypatch.setattr(
        Principal, "scope", property(lambda caller: EVERYONE if caller.is_operator else Owner(caller.user_id))
    )
    monkeypatch.setattr(Principal, "itself", property(lambda _: Owner(ADA)))
    monkeypatch.setattr(Transaction, "scope", property(lambda _: EVERYONE))


def _requests() -> Iterator[tuple[str, str, str, dict[str, str], Any]]:
    for route in ROUTES:
        name = route.view.__name__
        for query in _QUERIES.get(name, [{}]):
            yield route.method, route.path, name, query, _BODIES.get(name)


def _ask(method: str, path: str, query: dict[str, str], body: Any, user: object = EVE) -> dict[str, Any]:
    parameters = {name: value for name, value in _ADAS.items() if f"{{{name}}}" in path}
    if "uploads" not in path and f"{path}".startswith(("/api/files/{file_id}/parts", "/api/files/{file_id}/complete")):
        parameters["file_id"] = str(PENDING)
    return send(
        method,
        path,
        headers={"Host": "h", "X-Landfall-User": str(user), "Content-Type": "application/json"},
        pathParameters=parameters or None,
        multiValueQueryStringParameters={key: [value] for key, value in query.items()} or None,
        body=None if body is None else json.dumps(body),
    )


def _hers(engine: Engine) -> dict[str, Any]:
    """All that is Ada's."""
    with transaction(engine) as session:
        return {
            name: sorted(map(str, session.execute(text(f"SELECT * FROM {name}")).all()))
            for name in tables(session)
            if name not in ("usage", "usage_now")
        }


@pytest.mark.usefixtures("tenants")
def test_the_requests_reach_what_is_ones_own() -> None:
    """Or the tests below would show nothing: Ada herself gets answers, and they have her secret in them."""
    shown = {
        name
        for method, path, name, query, body in _requests()
        if method == "GET" and SECRET in str(_ask(method, path, query, body, ADA)["body"])
    }
    assert shown >= {
        "list_files",
        "count_files",
        "list_session_files",
        "get_file",
        "get_user",
        "get_session",
    }


@pytest.mark.usefixtures("forgetful")
def test_no_route_shows_or_changes_what_is_anothers(tenants: Engine) -> None:
    before, learnt, refused = _hers(tenants), [], set()
    for method, path, name, query, body in _requests():
        answer = _ask(method, path, query, body)
        sent = str(query) + str(body) + path.format(**_ADAS)
        told = str(answer["body"]) + str({key: value for key, value in answer["headers"].items() if key != "Link"})
        if answer["statusCode"] >= 500 or (SECRET in told and SECRET not in sent):
            learnt.append((name, query, answer))
        if answer["statusCode"] in (400, 415) and name != "upload_files":
            refused.add(name)
    assert learnt == []
    assert refused == set(), "requests that are understood, but for a form of files"
    after = _hers(tenants)
    for name in before:
        assert set(before[name]) - set(after[name]) == set(), f"{name}: something of Ada's was changed"
