"""A catalogue and a bucket of each kind, for audits to compare."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine

from chalicelib.catalog.objects import EVERYTHING
from chalicelib.db.engine import create_catalog_engine
from chalicelib.services.context import Context
from chalicelib.store.client import ObjectStore
from tests.support.aws import make_bucket, set_versioning
from tests.support.contexts import context_on

_numbers = count()


@pytest.fixture
def engine(new_migrated_database: Callable[[], str]) -> Iterator[Engine]:
    engine = create_catalog_engine(new_migrated_database())
    yield engine
    engine.dispose()


@pytest.fixture
def s3(backend_store: tuple[Any, ObjectStore]) -> Any:
    return backend_store[0]


@pytest.fixture
def ctx(engine: Engine, s3: Any) -> Context:
    return context_on(engine, ObjectStore(s3, s3, lambda: EVERYTHING))


@pytest.fixture(params=["versioned", "suspended", "plain"])
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    """A bucket of each kind. Inventories of it go into the bucket of the same name with ``-lists`` behind it."""
    name = f"stocked-{next(_numbers)}-{request.param}"
    make_bucket(s3, name, versioned=request.param != "plain")
    make_bucket(s3, f"{name}-lists")
    if request.param == "suspended":
        s3.put_object(Bucket=name, Key="older", Body=b"1")
        set_versioning(s3, name, "Suspended")
    return name


@pytest.fixture
def plain_bucket(s3: Any) -> str:
    """The same without versions."""
    name = f"stocked-{next(_numbers)}"
    make_bucket(s3, name)
    make_bucket(s3, f"{name}-lists")
    return name
