"""Temporary credentials of S3. The emulator's STS gives them, and its S3 ignores their policy: tests/catalog holds that."""

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.catalog.session_policies import TemporaryCredentials
from chalicelib.store.credentials import CredentialIssuer
from dev.emulator import Emulator
from tests.support.aws import make_bucket
from tests.support.callers import Caller, Reply
from tests.support.iam import allows, check_grammar
from tests.support.process import start_over

ROLE = "arn:aws:iam::000000000000:role/landfall-credentials"
OPERATOR = Caller()
Asked = list[tuple[str, str, str, int]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What STS is asked for: role, name of the session, policy, seconds."""
    asked: Asked = []
    assume = CredentialIssuer.assume

    def listen(self: CredentialIssuer, *request: Any) -> TemporaryCredentials:
        asked.append(request)
        return assume(self, *request)

    monkeypatch.setattr(CredentialIssuer, "assume", listen)
    return asked


@pytest.fixture
def bucket(emulator: Emulator, s3: Any, in_this_process: None, monkeypatch: pytest.MonkeyPatch) -> str:
    if "credentials" not in {one["Name"] for one in s3.list_buckets()["Buckets"]}:
        make_bucket(s3, "credentials")
    for name, value in {
        "LANDFALL_BUCKET": "credentials",
        "LANDFALL_CREDENTIALS_ROLE": ROLE,
        "AWS_ENDPOINT_URL": emulator.url,
    }.items():
        monkeypatch.setenv(name, value)
    start_over()
    return "credentials"


@pytest.fixture
def ada(bucket: str) -> Caller:
    return OPERATOR.new_member()


def give(caller: Caller, **query: str) -> Reply:
    return caller("POST", "/api/credentials", query=query or None)


def s3_of(given: Any, url: str) -> Any:
    told = given["credentials"]
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name=given["region"],
        aws_access_key_id=told["AccessKeyId"],
        aws_secret_access_key=told["SecretAccessKey"],
        aws_session_token=told["SessionToken"],
        config=Config(s3={"addressing_style": "path"}),
    )


def test_with_what_is_given_a_client_puts_and_lists_its_files(ada: Caller, emulator: Emulator, asked: Asked) -> None:
    reply = give(ada)
    assert reply.status == 200, reply
    given = reply.json
    assert list(given) == ["credentials", "bucket", "region", "prefix"]
    assert list(given["credentials"]) == ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"]
    assert (given["bucket"], given["region"], given["prefix"]) == ("credentials", "us-east-1", f"{ada.user_id}/")
    assert given["credentials"]["Expiration"].endswith("Z")
    assert reply.headers["Cache-Control"] == "no-store"

    client = s3_of(given, emulator.url)
    key = f"{given['prefix']}dropped.txt"
    client.put_object(Bucket=given["bucket"], Key=key, Body=b"hello")
    listed = client.list_objects_v2(Bucket=given["bucket"], Prefix=given["prefix"])["Contents"]
    assert [one["Key"] for one in listed] == [key]
    [(role, name, policy, seconds)] = asked
    assert (role, name, seconds) == (ROLE, ada.user_id, 3_600)
    check_grammar(policy)
    assert allows(policy, "s3:PutObject", f"arn:aws:s3:::credentials/{key}")


def test_a_key_gets_what_it_may_do_below_its_prefix(ada: Caller, asked: Asked) -> None:
    below = f"{ada.user_id}/in/"
    reader, writer = ada.new_key("read", prefix=below)[0], ada.new_key("write", prefix=below)[0]
    assert give(reader).json["prefix"] == give(writer).json["prefix"] == below
    arn = f"arn:aws:s3:::credentials/{ada.user_id}/"
    reading, writing = (request[2] for request in asked)
    assert allows(reading, "s3:GetObject", f"{arn}in/a")
    assert not allows(reading, "s3:PutObject", f"{arn}in/a")
    assert allows(writing, "s3:PutObject", f"{arn}in/a")
    assert not allows(writing, "s3:GetObject", f"{arn}in/a")
    assert not allows(writing, "s3:PutObject", f"{arn}out/a")
    wider = ada.new_key("read", prefix=ada.user_id[:8])[0]
    assert give(wider).json["prefix"] == f"{ada.user_id}/"


def test_whom_no_credentials_fit_gets_none(ada: Caller, asked: Asked) -> None:
    bob = OPERATOR.new_member("Bob")
    ada("POST", "/api/sessions", {"session_id": "s"})
    soon = (datetime.now(UTC) + timedelta(minutes=14)).isoformat()
    for fields in ({"session_id": "s"}, {"prefix": f"{bob.user_id}/"}, {"prefix": "*"}, {"expires_at": soon}):
        reply = give(ada.new_key("read", **fields)[0])
        assert (reply.status, reply.json["type"]) == (403, "/problems/forbidden"), fields
    for prefix in ("ü/", "*" * 400):
        reply = give(ada.new_key("read", prefix=f"{ada.user_id}/{prefix}")[0])
        assert (reply.status, reply.json["type"]) == (422, "/problems/unprocessable")
    for seconds in ("899", "3601", "x"):
        assert give(ada, seconds=seconds).status == 400
    assert asked == []


def test_credentials_end_with_the_key_that_got_them(ada: Caller, asked: Asked) -> None:
    machine, made = ada.new_key("read")
    with runtime.transaction() as session:
        soon = text("UPDATE api_keys SET expires_at = now() + interval '20 minutes' WHERE id = :id")
        session.execute(soon, {"id": made["id"]})
    assert give(machine).status == give(machine, seconds="900").status == 200
    longer, shorter = (request[3] for request in asked)
    assert 900 < longer <= 1_200
    assert shorter == 900


def test_a_deployment_without_a_role_gives_none(ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANDFALL_CREDENTIALS_ROLE")
    start_over()
    reply = give(ada)
    assert (reply.status, reply.json["type"]) == (404, "/problems/not-found")
    assert "gives no credentials" in reply.json["detail"]


def test_while_sts_is_away_there_are_none(ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    start_over()
    reply = give(ada)
    assert (reply.status, reply.json["type"]) == (503, "/problems/unavailable")
    assert "Retry-After" in reply.headers
