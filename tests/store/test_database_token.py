"""The token that stands in for a database password is the one AWS's own SDK makes."""

from datetime import UTC, datetime

import boto3
import botocore.auth
import pytest

from chalicelib.store.database_token import token_signer


def test_the_token_equals_that_of_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t/+="}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: datetime(2026, 11, 23, 12, tzinfo=UTC))

    token = token_signer("db.example", 5432, "landfall_app", "eu-west-1")()
    assert token.startswith("db.example:5432/?Action=connect&DBUser=landfall_app&X-Amz-Algorithm=AWS4-HMAC-SHA256")

    rds = boto3.Session().client("rds", region_name="eu-west-1")
    assert token == rds.generate_db_auth_token("db.example", 5432, "landfall_app", "eu-west-1")
