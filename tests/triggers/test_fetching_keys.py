"""Keys of identity providers get into their bucket by the clock, and what can't be fetched stays as it was."""

import json
from pathlib import Path
from typing import Any

import pytest

import app
from chalicelib import runtime
from chalicelib.errors import KeysUnavailable
from chalicelib.services.accounts.signing_keys import key_set_key
from dev.event_source import scheduled_event
from tests.support.backend import BUCKET, emulated_store
from tests.support.process import start_over
from tests.support.provider import Provider

GOOD, AWAY = "https://good.example", "https://away.example"


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with emulated_store(tmp_path) as (s3, _):
        s3.create_bucket(Bucket="keys")
        for name, value in {
            "LANDFALL_STAGE": "dev",
            "LANDFALL_DATABASE_URL": "postgresql+pg8000://nobody@unreachable.invalid/none",
            "LANDFALL_BUCKET": BUCKET,
            "LANDFALL_IDENTITY": "oidc",
            "LANDFALL_OIDC_ISSUERS": f"{GOOD},{AWAY}",
            "LANDFALL_OIDC_AUDIENCES": "landfall",
            "LANDFALL_KEYS_BUCKET": "keys",
            "AWS_ENDPOINT_URL": s3.meta.endpoint_url,
        }.items():
            monkeypatch.setenv(name, value)
        start_over()
        yield s3
    start_over()


def fetch(monkeypatch: pytest.MonkeyPatch, away: Provider | None) -> Any:
    """One run of the function, while one provider answers, and the other does if it is given."""
    sets = {GOOD: Provider(GOOD).key_set()} | ({AWAY: away.key_set()} if away else {})

    def answer(issuer: str, _: str | None) -> bytes:
        if issuer not in sets:
            raise KeysUnavailable(f"{issuer} doesn't answer.")
        return sets[issuer]

    monkeypatch.setattr("chalicelib.services.accounts.key_sets.fetch_key_set", answer)
    return app.fetch_keys(scheduled_event("fetch_keys", runtime.now(), "us-east-1"), None)


def test_what_cannot_be_fetched_stays_and_its_age_is_told(
    s3: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = Provider(AWAY)
    assert fetch(monkeypatch, None) == {"fetched": [GOOD], "failed": {AWAY: f"{AWAY} doesn't answer."}}
    assert _age(capsys.readouterr().out) > 9 * 365 * 86_400  # it was never fetched

    assert fetch(monkeypatch, away)["failed"] == {}
    kept = s3.get_object(Bucket="keys", Key=key_set_key(AWAY))["Body"].read()
    assert kept == away.key_set()
    assert _age(capsys.readouterr().out) < 60

    assert list(fetch(monkeypatch, None)["failed"]) == [AWAY]
    assert s3.get_object(Bucket="keys", Key=key_set_key(AWAY))["Body"].read() == kept
    assert _age(capsys.readouterr().out) < 60


def _age(output: str) -> float:
    [line] = [json.loads(line) for line in output.splitlines() if "KeysAge" in line]
    age: float = line["KeysAge"]
    return age
