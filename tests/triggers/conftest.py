"""A backend whose database and bucket are those of the application's functions."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.backend import BUCKET, Backend, backend_on, emulated_store


@pytest.fixture
def backend(
    new_migrated_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    """Of a test's own."""
    with emulated_store(tmp_path) as (s3, store):
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.meta.endpoint_url)
        monkeypatch.setenv("LANDFALL_BUCKET", BUCKET)
        with backend_on(new_migrated_database(), s3, store) as backend:
            yield backend
