"""Whole stacks: the local one, and the packaged template, deployed to an account of its own.

Each has its own PostgreSQL, emulator and API, on free ports.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import urllib3
from sqlalchemy import Engine, text

from chalicelib.db.engine import create_catalog_engine
from chalicelib.settings import Settings
from deploy.cloud import Cloud
from deploy.deployment import Deployment
from dev.ceph import address_towards
from dev.ceph import make_bucket as make_ceph_bucket
from dev.configuration import HOST, REGION, WEBHOOK_PORT_VARIABLE, Configuration
from dev.database_setup import prepare
from dev.emulator import Emulator
from dev.event_source import ACCOUNT
from dev.infra import client, deploy
from dev.localstack import LocalStack
from dev.minio import MinIO, make_bucket
from dev.postgres import Postgres
from tests.support.aws import empty_bucket
from tests.support.cognito import sign_in
from tests.support.ports import free_ports
from tests.support.rgw import delete_topics
from tests.support.servers import chalice_local, running
from tests.support.waiting import eventually

_WEBHOOK_SECRET = "a-secret"


@dataclass
class Stack:
    """A running stack, and clients for its parts."""

    api_url: str
    bucket: str
    queue_url: str
    dead_queue_url: str
    s3: Any
    sqs: Any
    engine: Engine
    postgres: Postgres
    access_key: str = "test"  # the S3 client's
    secret_key: str = "test"
    forms_take_emoji: bool = True  # a form's policy may name any key
    headers: dict[str, str] = field(default_factory=dict)  # who asks; nobody in particular where that is the operator
    keys_are_paths: bool = False  # the store refuses ``..``, and names of more than 255 bytes between slashes

    def get(self, path: str) -> Any:
        """The JSON at ``path``, which must answer 200; while the database restarts, asks again."""
        retry = urllib3.Retry(
            total=20, backoff_factor=0.2, backoff_max=2, status_forcelist=[503], raise_on_status=False
        )
        answer = self.request("GET", path, retries=retry)
        assert answer.status == 200, answer.data
        return json.loads(answer.data)

    def request(self, method: str, path: str, **parts: Any) -> urllib3.BaseHTTPResponse:
        """The API's answer to the operator."""
        # As long as the gateway: a request may wait for a function that starts cold.
        return urllib3.request(method, self.api_url + path, headers=self.headers, timeout=29.0, **parts)

    def send_event(self, body: str) -> None:
        """Send a notification that the store didn't make."""
        self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)

    def take_dead_events(self) -> list[str]:
        """The notifications that have failed all their tries."""
        with self.engine.begin() as connection:
            return list(connection.scalars(text("DELETE FROM dead_events RETURNING body")))

    def dying_events(self) -> int:
        """How many messages have failed all their tries, and are not laid away yet."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.dead_queue_url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def post(self, path: str, document: Any, status: int = 200) -> Any:
        """What ``path`` answers to this document."""
        answer = self.request("POST", path, json=document)
        assert answer.status == status, answer.data
        return json.loads(answer.data)

    def act(self, path: str, action: str, document: Any) -> Any:
        """Do something to the file at ``path`` that a job may have to finish; says what the file is then."""
        answer = self.request("POST", f"{path}/{action}", json=document)
        assert answer.status in (200, 202), answer.data
        job = json.loads(answer.data)["job"]
        assert job is None or eventually(lambda: self.get(f"/api/jobs/{job['id']}")["state"] == "done", 60)
        return self.get(path)


@dataclass
class WebhookStack(Stack):
    """A stack whose store calls a webhook: there are no queues."""

    webhook_url: str = ""

    def send_event(self, body: str) -> None:
        headers = {"Authorization": f"Bearer {_WEBHOOK_SECRET}"}
        assert urllib3.request("POST", self.webhook_url, body=body, headers=headers).status == 200


@contextmanager
def local(home: Path, localstack_python: str | None = None) -> Iterator[Stack]:
    """As `make run` starts it: emulator, delivery loop, ``chalice local``. With LocalStack, if its Python is given."""
    with _services(home, localstack_python) as (options, postgres, emulator), ExitStack() as services:
        deployed = deploy(emulator.url, options.bucket, visibility_seconds=2)
        environment = options.child_environment(deployed.queue_url) | {
            "LANDFALL_EMULATOR_PORT": str(options.emulator_port)
        }
        prepare(Settings.from_environment(environment))
        services.enter_context(_module("dev.delivery", home, environment))
        services.enter_context(chalice_local(options.api_port, home / "api.log", environment))
        _wait_until_ready(options)
        yield _stack(options, postgres, options.api_url, deployed.bucket, deployed.queue_url, deployed.dead_queue_url)


@contextmanager
def deployed(home: Path) -> Iterator[tuple[Stack, Deployment]]:
    """The packaged template as a stack of the emulator: its API Gateway, its event source, its zips."""
    with _services(home) as (options, postgres, emulator):
        parameters = {
            "DatabaseUrl": options.database_url,
            "DatabaseTls": "off",
            "BucketName": "landfall-deployed",
            "Identity": "auto",
            "WithCognito": "true",
            "VisibilitySeconds": "2",
            "ThrottleRate": "10000",
            "ThrottleBurst": "10000",
        }
        cloud = Cloud(ACCOUNT, REGION, emulator.url)
        deployment = Deployment(cloud, "dev", parameters, report=lambda line: None)
        with made_up_credentials():
            _ask_often(cloud.client("lambda"))
            addresses = deployment.up()
            outputs = deployment.stack.outputs()
            # The outputs name the emulator's idea of its own host.
            queues = [outputs[name].rsplit("/", 2)[-1] for name in ("EventsQueueUrl", "DeadEventsQueueUrl")]
            queue_url, dead_queue_url = (f"{emulator.url}/{ACCOUNT}/{name}" for name in queues)
            stack = _stack(options, postgres, addresses["API"], addresses["Bucket"], queue_url, dead_queue_url)
            stack.headers = {
                "Authorization": f"Bearer {sign_in(cloud.client('cognito-idp'), outputs, 'ada@example.org')}"
            }
            deployment.make_operator(stack.get("/api/me")["id"])
            yield stack, deployment


def _ask_often(client: Any) -> None:
    """Have the waiters of a boto3 client ask twenty times a second: an emulator is done at once, and a cloud is not."""
    get_waiter = client.get_waiter

    def get_quick_waiter(name: str) -> Any:
        waiter = get_waiter(name)
        wait = waiter.wait
        waiter.wait = lambda **target: wait(**target | {"WaiterConfig": {"Delay": 0.05, "MaxAttempts": 2000}})
        return waiter

    client.get_waiter = get_quick_waiter


@contextmanager
def minio(home: Path, program: str, **variables: str) -> Iterator[Stack]:
    """As `make run STACK=minio` starts it: MinIO's program, the webhook receiver, ``chalice local``.

    ``variables`` are further ones of the application's environment.
    """
    ports = dict(zip(("postgres_port", "emulator_port", "api_port", "webhook_port"), free_ports(4), strict=True))
    options = Configuration(home=home, stand_in="minio", secret_key="testtest", **ports)
    server = MinIO(program, home, options.emulator_port, options.webhook_port, _WEBHOOK_SECRET)
    with ExitStack() as services:
        services.callback(server.stop)
        server.start()
        make_bucket(options)
        running = services.enter_context(_with_webhook(options, variables))
        running.keys_are_paths = True
        yield running


@contextmanager
def ceph(home: Path, variables: dict[str, str], **others: str) -> Iterator[Stack]:
    """As `make run STACK=ceph` starts it, with a new bucket on the cluster that ``variables`` name.

    ``others`` are further variables of the application's environment.
    """
    named = Configuration.from_environment({**variables, "LANDFALL_STACK": "ceph", "LANDFALL_HOME": str(home)})
    ports = dict(zip(("postgres_port", "api_port", "webhook_port"), free_ports(3), strict=True))
    options = replace(named, bucket=f"landfall-{uuid4()}", **ports)
    receiver = f"http://{address_towards(options.endpoint)}:{options.webhook_port}/{_WEBHOOK_SECRET}"
    make_ceph_bucket(options, receiver)
    with _with_webhook(options, others) as running:
        running.forms_take_emoji = False
        try:
            yield running
        finally:
            empty_bucket(running.s3, running.bucket)
            running.s3.delete_bucket(Bucket=running.bucket)
            delete_topics(options)


@contextmanager
def _with_webhook(options: Configuration, variables: dict[str, str]) -> Iterator["WebhookStack"]:
    """Postgres, the webhook receiver and the API beside a store that is up."""
    home, host = options.home, address_towards(options.endpoint) if options.endpoint else HOST
    postgres = Postgres(home, options.postgres_port, durable=True)
    with ExitStack() as services:
        services.callback(postgres.stop)
        postgres.start()
        environment = options.child_environment("") | variables
        environment |= {
            WEBHOOK_PORT_VARIABLE: str(options.webhook_port),
            "LANDFALL_WEBHOOK_SECRET": _WEBHOOK_SECRET,
            "LANDFALL_WEBHOOK_HOST": host,
        }
        prepare(Settings.from_environment(environment))
        services.enter_context(_module("dev.webhook", home, environment))
        services.enter_context(chalice_local(options.api_port, home / "api.log", environment))
        _wait_until_ready(options)
        found = _stack(options, postgres, options.api_url, options.bucket, "", "")
        url = f"http://{host}:{options.webhook_port}/"
        yield WebhookStack(**vars(found), webhook_url=url)


@contextmanager
def made_up_credentials() -> Iterator[None]:
    """What boto3 finds in the environment while it talks to an emulator, and never the developer's own."""
    before = dict(os.environ)
    os.environ.update(
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )
    os.environ.pop("AWS_PROFILE", None)
    os.environ.pop("AWS_SESSION_TOKEN", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _services(
    home: Path, localstack_python: str | None = None
) -> Iterator[tuple[Configuration, Postgres, Emulator | LocalStack]]:
    postgres_port, emulator_port, api_port = free_ports(3)
    options = Configuration(home=home, postgres_port=postgres_port, emulator_port=emulator_port, api_port=api_port)
    postgres = Postgres(home, options.postgres_port, durable=True)  # it will be killed
    port = options.emulator_port
    emulator = LocalStack(home, port, localstack_python) if localstack_python else Emulator(home, port)
    with ExitStack() as services:
        services.callback(postgres.stop)
        postgres.start()
        services.callback(emulator.stop)
        emulator.start()
        yield options, postgres, emulator


def _stack(
    options: Configuration, postgres: Postgres, api_url: str, bucket: str, queue_url: str, dead_queue_url: str
) -> Stack:
    keys = options.access_key, options.secret_key
    return Stack(
        api_url=api_url,
        bucket=bucket,
        queue_url=queue_url,
        dead_queue_url=dead_queue_url,
        s3=client("s3", options.emulator_url, *keys, s3={"addressing_style": "path"}, max_pool_connections=20),
        sqs=client("sqs", options.emulator_url),
        engine=create_catalog_engine(options.database_url),
        postgres=postgres,
        access_key=options.access_key,
        secret_key=options.secret_key,
    )


def _module(name: str, home: Path, environment: dict[str, str]) -> AbstractContextManager[Any]:
    return running([sys.executable, "-m", name], home / f"{name}.log", environment)


def _wait_until_ready(options: Configuration) -> None:
    def is_ready() -> bool:
        try:
            return urllib3.request("GET", f"{options.api_url}/ready", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    assert eventually(is_ready), f"{options.api_url} did not become ready"
