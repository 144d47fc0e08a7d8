"""Object stores of every kind, each started once, with a plain and a versioned bucket."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from chalicelib.catalog.objects import NOTHING, Guarantees
from chalicelib.store.client import ObjectStore
from tests.support.object_stores import KINDS, Place, Server, serving


@pytest.fixture(scope="session", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Server) -> Any:
    """Landfall's own client."""
    return server.client()


@pytest.fixture(scope="session")
def buckets(server: Server) -> Iterator[dict[str, str]]:
    with ExitStack() as made:
        yield {kind: made.enter_context(server.bucket(kind)) for kind in ("plain", "versioned", "suspended")}


@pytest.fixture(scope="session")
def probed(client: Any) -> dict[str, Guarantees]:
    """What the server honours, in any bucket."""
    return dict.fromkeys(("plain", "versioned"), ObjectStore(client, client, lambda: NOTHING).probe())


@pytest.fixture(params=["plain", "versioned"])
def versioning(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["as probed", "trusting nothing"])
def place(
    request: pytest.FixtureRequest,
    server: Server,
    client: Any,
    buckets: dict[str, str],
    probed: dict[str, Guarantees],
    versioning: str,
) -> Place:
    """A bucket, with Landfall as careful there as it is after a probe, or as careful as it can be."""
    trusted = probed[versioning] if request.param == "as probed" else NOTHING
    return Place(server, buckets[versioning], versioning, trusted, client)


@pytest.fixture
def careful(server: Server, client: Any, buckets: dict[str, str], versioning: str) -> Place:
    """A bucket, trusting nothing, for what doesn't depend on that."""
    return Place(server, buckets[versioning], versioning, NOTHING, client)


@pytest.fixture
def suspended(server: Server, client: Any, buckets: dict[str, str]) -> Place:
    """A bucket that keeps versions no more, trusting nothing."""
    return Place(server, buckets["suspended"], "suspended", NOTHING, client)
