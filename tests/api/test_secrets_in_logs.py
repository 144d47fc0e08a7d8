"""No log holds a token, a key or a password, whatever becomes of the request that brings it; but it says why one was refused."""

import json
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import InterfaceError

from chalicelib import runtime
from chalicelib.triggers.operations import migrate
from tests.support.identified import Service, published_service
from tests.support.secrets import secret, secrets_in

JSON = {"Content-Type": "application/json"}
FILE = {"pathParameters": {"file_id": str(uuid4())}}


@pytest.fixture(scope="module")
def service(new_migrated_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with published_service(
        new_migrated_database(), tmp_path_factory.mktemp("secrets"), LANDFALL_LOG_LEVEL="DEBUG"
    ) as made:
        yield made


def password() -> str:
    return secret(f"hunter2-{uuid4().hex}")


def key() -> str:
    return secret(f"lf_{uuid4().hex}_{uuid4().hex}{uuid4().hex}")


def log_of(capsys: pytest.CaptureFixture[str]) -> tuple[str, list[dict[str, Any]]]:
    """What was logged: as text, and its lines."""
    written = capsys.readouterr()
    lines = [json.loads(line) for line in written.out.splitlines() if line.startswith("{")]
    return written.out + written.err, lines


@pytest.mark.parametrize(
    ("status", "kind", "reason", "authorization"),
    [
        (401, "unauthenticated", "The token has expired.", lambda s: f"Bearer {s.provider.token('a', time.time() - 9000)}"),
        (401, "unauthenticated", "The token's signature is wrong.", lambda s: f"{s.token('a')[:-8]}AAAAAAAA"),
        (401, "unauthenticated", "Send one token", lambda s: f"{s.token('a')},{s.token('b')}"),
        (401, "unauthenticated", "", lambda s: f"Bearer {key()}"),
        (401, "unauthenticated", "Send one token", lambda s: f"Basic {password()}"),
        (431, "headers-too-large", None, lambda s: f"Bearer {secret(uuid4().hex * 3000)}"),
        (200, None, None, lambda s: s.token("a")),
    ],
)  # fmt: skip
def test_what_a_caller_proves_itself_with_is_in_no_log(
    service: Service,
    capsys: pytest.CaptureFixture[str],
    status: int,
    kind: str | None,
    reason: str | None,
    authorization: Callable[[Service], str],
) -> None:
    sent = authorization(service)
    secret(sent.partition(" ")[2])
    assert service.ask(sent)["statusCode"] == status
    written, lines = log_of(capsys)
    assert secrets_in(written) == []
    (line,) = [line for line in lines if line["message"] == "request"]
    assert (line["status"], line["problem"]) == (status, kind)
    said = [line["reason"] for line in lines if line["message"] == "caller refused"]
    assert len(said) == (reason is not None)
    assert all(one.startswith(reason) for one in said)


@pytest.mark.parametrize("is_known", [True, False])
def test_secrets_in_wrong_places_are_in_no_log(
    service: Service, capsys: pytest.CaptureFixture[str], is_known: bool
) -> None:
    caller = service.token("a") if is_known else None
    for hidden in (password, key):
        said = hidden()
        for parts in (
            {"resource": "/api/files", "multiValueQueryStringParameters": {"api_key": [said]}},
            {"resource": "/api/files", "multiValueQueryStringParameters": {said: ["1"]}},
            {"resource": "/api/files", "multiValueQueryStringParameters": {"cursor": [said]}},
            {"resource": "/api/files", "multiValueQueryStringParameters": {"q": [said]}},
            {"resource": "/api/files/{file_id}", "pathParameters": {"file_id": said}},
            {"resource": "/api/sessions/{session_id}", "pathParameters": {"session_id": said}},
            {"resource": "/api/shared/{token}", "pathParameters": {"token": said}},
            {"resource": "/api/sessions", "headers": {"Cookie": said, "X-Landfall-User": said, "X-Api-Key": said}},
            {"resource": "/api/sessions", "method": "POST", "headers": JSON, "body": json.dumps({"password": said})},
            {"resource": "/api/sessions", "method": "POST", "headers": JSON, "body": json.dumps({said: said})},
            {"resource": "/api/sessions", "method": "POST", "headers": JSON, "body": said},
            {"resource": "/api/sessions", "method": "POST", "headers": {"Content-Type": said}, "body": "{}"},
            {"resource": "/api/sessions", "method": "POST", "headers": JSON, "body": json.dumps({"session_id": said})},
            {
                "resource": "/api/sessions",
                "method": "POST",
                "headers": JSON,
                "body": json.dumps({"metadata": {"a": said}}),
            },
        ):
            service.ask(caller, **parts)
    written, lines = log_of(capsys)
    requests = [line for line in lines if line["message"] == "request"]
    assert len(requests) == 28
    assert secrets_in(written) == []
    assert all(line["problem"] for line in requests if line["status"] >= 400)


def test_the_link_of_a_share_is_in_no_log(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    ada = service.token("a")
    made = service.ask(ada, "/api/files", method="POST", headers=JSON, body='{"name": "a", "size": 5}')
    file = {"pathParameters": {"file_id": json.loads(made["body"])["id"]}}
    with runtime.engine().begin() as connection:
        connection.exec_driver_sql("UPDATE files SET state = 'stored', size = 5, version_id = ''")
    share = service.ask(ada, "/api/files/{file_id}/shares", method="POST", headers=JSON, body="{}", **file)
    token = secret(json.loads(share["body"])["url"].rpartition("/")[2])
    used = service.ask(None, "/api/shared/{token}", pathParameters={"token": token})
    assert used["statusCode"] == 302
    service.ask(None, "/api/shared/{token}", method="DELETE", pathParameters={"token": token})
    secret(used["headers"]["Location"].partition("X-Amz-Signature=")[2].partition("&")[0])
    assert secrets_in(log_of(capsys)[0]) == []


@pytest.mark.parametrize(
    ("broken", "mended", "state"),
    [
        (
            "VIEW landfall_member.sessions RENAME name TO other",
            "VIEW landfall_member.sessions RENAME other TO name",
            "42703",
        ),
        (
            "TABLE sessions ADD CONSTRAINT broken CHECK (name IS NULL) NOT VALID",
            "TABLE sessions DROP CONSTRAINT broken",
            "23514",
        ),
    ],
)
def test_an_error_of_ours_is_told_in_full_without_what_was_sent(
    service: Service, capsys: pytest.CaptureFixture[str], broken: str, mended: str, state: str
) -> None:
    said, ada = password(), service.token("a")
    with runtime.engine().begin() as connection:
        connection.exec_driver_sql(f"ALTER {broken}")
    try:
        body = json.dumps({"session_id": said, "name": said, "metadata": {"a": said}})
        answer = service.ask(ada, "/api/sessions", method="POST", headers=JSON, body=body)
    finally:
        with runtime.engine().begin() as connection:
            connection.exec_driver_sql(f"ALTER {mended}")
    assert answer["statusCode"] == 500
    text, _ = log_of(capsys)
    assert "Traceback" in text
    assert state in text
    assert secrets_in(text) == []


def test_the_password_of_the_databases_master_user_is_in_no_log(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    said = password()
    with pytest.raises(InterfaceError) as refused:
        migrate({"action": "roles", "user": "nobody", "password": said}, None)
    assert said not in "".join(traceback.format_exception(refused.value))
    assert secrets_in(log_of(capsys)[0]) == []
