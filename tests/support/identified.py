"""The whole API behind an identity provider, with the provider's keys in a bucket, called in this process."""

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
from tests.support.worker import worker

URL = "https://login.example.com/"
KEYS = "keys"


class Service:
    """The API, its provider and its buckets. ``address``: where requests come from, if the gateway says it."""

    address: str | None = None

    def __init__(self, s3: Any) -> None:
        self.s3, self.provider = s3, Provider(URL)

    def publish(self) -> None:
        """Have the provider's keys where the API reads them."""
        self.s3.put_object(Bucket=KEYS, Key=key_set_key(URL), Body=self.provider.key_set())

    def ask(
        self,
        authorization: str | None,
        resource: str = "/api/me",
        method: str = "GET",
        address: str | None = None,
        **parts: Any,
    ) -> Any:
        """Send a request, as API Gateway does, with this ``Authorization``."""
        headers = {"Host": "h"} | ({} if authorization is None else {"Authorization": authorization})
        sent = event(method, resource, headers=headers | parts.pop("headers", {}), **parts)
        if (address := address or self.address) is not None:
            sent["requestContext"]["identity"] = {"sourceIp": address}
        return app(sent, SimpleNamespace(aws_request_id="gateway-request"))

    def token(self, subject: str, **claims: Any) -> str:
        """An ``Authorization`` for somebody, which is valid now."""
        return f"Bearer {self.provider.token(subject, time.time(), **claims)}"


@contextmanager
def identified_service(database_url: str, s3: Any, **environment: str) -> Iterator[Service]:
    """The API on this database and the bucket `BUCKET` of an emulator, in a stage that is deployed."""
    usual = {
        "LANDFALL_DATABASE_URL": database_url,
        "LANDFALL_BUCKET": BUCKET,
        "LANDFALL_STAGE": "dev",
        "LANDFALL_DATABASE_TLS": "off",
        "LANDFALL_IDENTITY": "oidc",
        "LANDFALL_OIDC_ISSUERS": URL,
        "LANDFALL_OIDC_AUDIENCES": "landfall",
        "LANDFALL_KEYS_BUCKET": KEYS,
        "AWS_ENDPOINT_URL": s3.meta.endpoint_url,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (usual | environment).items():
            patch.setenv(name, value)
        start_over()
        try:
            yield Service(s3)
        finally:
            runtime.engine().dispose()
            start_over()


@contextmanager
def published_service(database_url: str, home: Path, **environment: str) -> Iterator[Service]:
    """The same with an emulator of its own, and the provider's keys in their bucket."""
    with emulated_store(home) as (s3, _):
        s3.create_bucket(Bucket=KEYS)
        with worker(database_url, s3.meta.endpoint_url), identified_service(database_url, s3, **environment) as service:
            service.publish()
            yield service
