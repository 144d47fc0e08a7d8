"""Real servers on real databases and a real S3 protocol, and clients of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from chalicelib import runtime
from chalicelib.catalog.objects import EVERYTHING
from chalicelib.db.engine import create_catalog_engine
from chalicelib.services.accounts.users import ensure_demo_user
from chalicelib.store.client import ObjectStore
from dev.emulator import Emulator
from dev.ports import free_port
from tests.support.api import Api
from tests.support.aws import make_bucket, s3_client
from tests.support.backend import BUCKET
from tests.support.clockwork import Clockwork
from tests.support.iam import allows
from tests.support.identified import KEYS, identified_service
from tests.support.landing import Scanner
from tests.support.matrix import World
from tests.support.notifications import s3_record
from tests.support.process import start_over
from tests.support.recording import deliver
from tests.support.roles import arn, policy_of
from tests.support.s3_calls import noting, read_calls
from tests.support.servers import chalice_local
from tests.support.tenants import BUCKET as TENANTS
from tests.support.tenants import add_tenants
from tests.support.users import new_member
from tests.support.worker import Worker, worker

Serve = Callable[..., Any]


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """``with serve(database_url, "local", LANDFALL_IDENTITY="none") as api:`` runs a server.

    In the end, whatever it has asked of S3 must be what the role of the API may do.
    """
    folder = tmp_path_factory.mktemp("chalice")
    numbers = count(1)

    @contextmanager
    def run(database_url: str, stage: str = "local", **environment: str) -> Iterator[Api]:
        log = folder / f"server-{next(numbers)}.log"
        port = free_port()
        usual = {
            "LANDFALL_DATABASE_URL": database_url,
            "LANDFALL_BUCKET": "landfall-local",
            "LANDFALL_PUBLIC_URL": f"http://127.0.0.1:{port}",
        }
        calls = log.with_suffix(".s3")
        with chalice_local(port, log, usual | noting(calls) | environment, stage):
            yield Api(port, log)
        policy = policy_of("ApiHandlerRole")
        refused = [call for call in read_calls(calls) if not allows(policy, call[0], arn(*call[1:]))]
        assert not refused, f"the role of the API would not be allowed this: {refused[:5]}"

    return run


@pytest.fixture(scope="session")
def api_database_url(new_migrated_database: Callable[[], str]) -> str:
    """A database of the API tests' own, with the demo user."""
    return _with_demo_user(new_migrated_database())


@pytest.fixture
def api_database_copy(new_migrated_database: Callable[[], str]) -> str:
    """The same for one test alone, which may do to it what it likes."""
    return _with_demo_user(new_migrated_database())


def _with_demo_user(url: str) -> str:
    engine = create_engine(url)
    with Session(engine) as session, session.begin():
        ensure_demo_user(session)
    engine.dispose()
    return url


@pytest.fixture(scope="session")
def engine(api_database_url: str) -> Iterator[Engine]:
    """An engine of `api_database_url`, for what no route does."""
    engine = create_catalog_engine(api_database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def api(serve: Serve, api_database_url: str) -> Iterator[Api]:
    """The demo operator's client of a server in the local stage."""
    with serve(api_database_url) as api:
        yield api


@pytest.fixture
def new_user(api: Api) -> Callable[..., dict[str, Any]]:
    """Creates a user and says its document."""

    def create(name: str = "Ada", **fields: Any) -> dict[str, Any]:
        answer = api("POST", "/api/users", {"name": name, **fields})
        assert answer.status == 201, answer.body
        return answer.json

    return create


@pytest.fixture
def in_this_process(api_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The application in this process works on `api_database_url`: see `tests.support.callers`."""
    monkeypatch.setenv("LANDFALL_DATABASE_URL", api_database_url)
    start_over()
    yield
    runtime.engine().dispose()
    start_over()


@pytest.fixture
def member(api: Api) -> Api:
    """A client who is a member with nothing of its own yet."""
    return new_member(api, "Ada")


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A real S3 protocol, without queues behind it: tests deliver the events themselves, or don't."""
    emulator = Emulator(tmp_path_factory.mktemp("emulator"), free_port())
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture(scope="session")
def s3(emulator: Emulator) -> Any:
    """A boto3 client of the emulator."""
    return s3_client(emulator.url)


@pytest.fixture(scope="session")
def job_worker(api_database_url: str, emulator: Emulator) -> Iterator[Worker]:
    """Does what the servers on `api_database_url` leave to others."""
    with worker(api_database_url, emulator.url) as working:
        yield working


@pytest.fixture(scope="session")
def files_api(serve: Serve, api_database_url: str, emulator: Emulator, s3: Any, job_worker: Worker) -> Iterator[Api]:
    """The demo operator's client of a server whose bucket, `versioned`, exists and has versions."""
    make_bucket(s3, "versioned", versioned=True)
    with serve(api_database_url, AWS_ENDPOINT_URL=emulator.url, LANDFALL_BUCKET="versioned") as api:
        yield api


@pytest.fixture(scope="session")
def plain_files_api(
    serve: Serve, api_database_url: str, emulator: Emulator, s3: Any, job_worker: Worker
) -> Iterator[Api]:
    """As `files_api`, with a bucket, `plain`, that has no versions."""
    make_bucket(s3, "plain")
    with serve(api_database_url, AWS_ENDPOINT_URL=emulator.url, LANDFALL_BUCKET="plain") as api:
        yield api


@pytest.fixture(scope="session")
def api_without_s3(serve: Serve, api_database_url: str) -> Iterator[Api]:
    """As `files_api`, but no S3 answers this server."""
    with serve(api_database_url, AWS_ENDPOINT_URL="http://127.0.0.1:9", LANDFALL_BUCKET="versioned") as api:
        yield api


@pytest.fixture
def owner(files_api: Api) -> Api:
    """A client of `files_api` who is a member with nothing of its own yet."""
    return new_member(files_api)


@pytest.fixture
def stranger(files_api: Api) -> Api:
    """Another member with nothing of its own, who must not learn of the owner's files."""
    return new_member(files_api, "Eve")


@pytest.fixture
def scanner(engine: Engine, s3: Any, files_api: Api) -> Scanner:
    """A machine that puts objects straight into the bucket of `files_api`."""
    return Scanner(engine, s3, files_api)


@pytest.fixture
def clockwork(engine: Engine, emulator: Emulator) -> Clockwork:
    """What runs by the clock, with a store of its own."""
    return Clockwork(engine, ObjectStore.connect("us-east-1", emulator.url, None, lambda: EVERYTHING))


@pytest.fixture(scope="module")
def tenants(new_migrated_database: Callable[[], str], emulator: Emulator, s3: Any) -> Iterator[Engine]:
    """The application in this process, on a database with Ada's files and a bucket."""
    url = new_migrated_database()
    engine = create_catalog_engine(url)
    add_tenants(engine)
    make_bucket(s3, TENANTS, versioned=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"DATABASE_URL": url, "BUCKET": TENANTS, "STAGE": "local", "IDENTITY": "demo"}.items():
            patch.setenv(f"LANDFALL_{name}", value)
        patch.setenv("AWS_ENDPOINT_URL", emulator.url)
        start_over()
        with worker(url, emulator.url):
            yield engine
        runtime.engine().dispose()
    start_over()
    engine.dispose()


@pytest.fixture
def tree(owner: Api, s3: Any, engine: Engine) -> str:
    """Ten files of the owner's in three folders, below a prefix of their own."""
    prefix = f"tree-{uuid4()}/"
    names = [f"a/{n}.txt" for n in range(4)] + [f"a/deep/{n}.txt" for n in range(2)] + ["b/x", "b/y", "top", "c d/ü"]
    for number, name in enumerate(names):
        version_id = s3.put_object(Bucket="versioned", Key=prefix + name, Body=b"12345")["VersionId"]
        fields = {"bucket": "versioned", "size": 5, "version_id": version_id, "sequencer": f"{number + 1:04X}"}
        deliver(engine, s3_record("ObjectCreated:Put", prefix + name, **fields))
    with engine.begin() as connection:
        owned = text("UPDATE files SET owner_id = CAST(:owner AS uuid) WHERE key ^@ :prefix")
        connection.execute(owned, {"owner": owner.user_id, "prefix": prefix})
    return prefix


@pytest.fixture(scope="module")
def world(new_migrated_database: Callable[[], str], s3: Any) -> Iterator[World]:
    """The API behind an identity provider, in this process, with everybody who asks.

    Its settings are in the environment: a module that uses it starts no server.
    """
    for bucket in (BUCKET, KEYS):
        make_bucket(s3, bucket, versioned=True)
    url = new_migrated_database()
    with worker(url, s3.meta.endpoint_url), identified_service(url, s3) as service:
        yield World(service)
