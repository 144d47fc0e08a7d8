"""The whole API in this process, behind an identity provider, as a test's environment says."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib import runtime
from chalicelib.services.accounts.signing_keys import key_set_key
from tests.support.backend import BUCKET, emulated_store
from tests.support.gateway import app, event
from tests.support.process import start_over
from tests.support.provider import Provider

URL = "https://login.example.com/"
_KEYS = "provider-keys"


class OidcService:
    """A client of that API. ``ask`` says where a request comes from, as the gateway would."""

    provider = Provider(URL)

    def token(self, subject: str) -> str:
        return f"Bearer {self.provider.token(subject, time.time())}"

    def ask(
        self, authorization: str | None, resource: str = "/api/me", address: str = "192.0.2.1", **parts: Any
    ) -> Any:
        headers = (
            {"Host": "h"}
            | ({} if authorization is None else {"Authorization": authorization})
            | parts.pop("headers", {})
        )
        sent = event(parts.pop("method", "GET"), resource, headers=headers, **parts)
        sent["requestContext"]["identity"] = {"sourceIp": address}
        return app(sent, SimpleNamespace(aws_request_id="r"))


@contextmanager
def oidc_service(database_url: str, home: Path, **environment: str) -> Iterator[OidcService]:
    """The API with the provider's keys in a bucket of their own."""
    with emulated_store(home) as (s3, _), pytest.MonkeyPatch.context() as patch:
        s3.create_bucket(Bucket=_KEYS)
        service = OidcService()
        s3.put_object(Bucket=_KEYS, Key=key_set_key(URL), Body=service.provider.key_set())
        settings = {
            "LANDFALL_DATABASE_URL": database_url,
            "LANDFALL_BUCKET": BUCKET,
            "LANDFALL_STAGE": "dev",
            "LANDFALL_DATABASE_TLS": "off",
            "LANDFALL_IDENTITY": "oidc",
            "LANDFALL_OIDC_ISSUERS": URL,
            "LANDFALL_OIDC_AUDIENCES": "landfall",
            "LANDFALL_KEYS_BUCKET": _KEYS,
            "AWS_ENDPOINT_URL": s3.meta.endpoint_url,
        }
        for name, value in (settings | environment).items():
            patch.setenv(name, value)
        start_over()
        yield service
        runtime.engine().dispose()
    start_over()
