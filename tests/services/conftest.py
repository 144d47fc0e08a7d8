"""A backend for each test; the database and the emulator behind it are made once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib.store.client import ObjectStore
from tests.support.backend import Backend, backend_on, emulated_store


@pytest.fixture(scope="session")
def backend_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, ObjectStore]]:
    with emulated_store(tmp_path_factory.mktemp("emulator")) as made:
        yield made


@pytest.fixture(scope="session")
def backend_database_url(new_migrated_database: Callable[[], str]) -> str:
    return new_migrated_database()


@pytest.fixture
def backend(backend_database_url: str, backend_store: tuple[Any, ObjectStore]) -> Iterator[Backend]:
    """The services with nothing in their catalogue yet."""
    with backend_on(backend_database_url, *backend_store) as made:
        yield made
