"""The database's password from a real Secrets Manager protocol; what can't be read is a 503 without the secret."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib import runtime
from chalicelib.errors import ConfigurationError, DatabaseUnavailable
from chalicelib.settings import Settings
from chalicelib.store.database_secret import secret_reader
from dev.emulator import Emulator
from dev.infra import client
from dev.ports import free_port


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("emulator"), free_port())
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture
def secrets(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.url)
    return client("secretsmanager", emulator.url)


def test_a_rotated_password_counts_with_the_next_connection(secrets: Any) -> None:
    arn = secrets.create_secret(Name="rotating", SecretString=json.dumps({"username": "u", "password": "first"}))["ARN"]
    read = secret_reader(arn, "us-east-1")
    assert read() == "first"
    secrets.put_secret_value(SecretId=arn, SecretString=json.dumps({"username": "u", "password": "second"}))
    assert read() == "second"


@pytest.mark.parametrize("password", ["plain", "{brace", '{"a'])
def test_a_secret_may_be_the_password_itself(secrets: Any, password: str) -> None:
    arn = secrets.create_secret(Name=f"plain-{len(password)}", SecretString=password)["ARN"]
    assert secret_reader(arn, "us-east-1")() == password


def test_what_holds_no_password_or_is_not_there_makes_the_database_unavailable(secrets: Any) -> None:
    secrets.create_secret(Name="without", SecretString=json.dumps({"username": "hidden-name"}))
    with pytest.raises(DatabaseUnavailable, match="holds no password") as refusal:
        secret_reader("without", "us-east-1")()
    assert "hidden-name" not in str(refusal.value)
    with pytest.raises(DatabaseUnavailable, match="ResourceNotFoundException"):
        secret_reader("nowhere", "us-east-1")()


def test_a_secrets_manager_that_does_not_answer_makes_the_database_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(DatabaseUnavailable, match="doesn't answer"):
        secret_reader("any", "us-east-1")()


def test_the_engine_logs_in_with_the_secret(secrets: Any, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets.create_secret(Name="engine", SecretString="whatever the trusting server takes")
    named = {"LANDFALL_DATABASE_URL": database_url, "LANDFALL_DATABASE_LOGIN": "secret"}
    options = Settings.from_environment({**named, "LANDFALL_DATABASE_SECRET": "engine"})
    monkeypatch.setattr(runtime, "settings", lambda: options)
    engine = runtime.engine.__wrapped__()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()

    secrets.delete_secret(SecretId="engine", ForceDeleteWithoutRecovery=True)
    with pytest.raises(DatabaseUnavailable):
        runtime.engine.__wrapped__().connect()


def test_the_secret_must_be_named() -> None:
    with pytest.raises(ConfigurationError, match="LANDFALL_DATABASE_SECRET"):
        Settings.from_environment({"LANDFALL_DATABASE_LOGIN": "secret"})
