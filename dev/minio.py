"""MinIO: the program as our child, and the bucket on it, made by hand because MinIO knows no CloudFormation."""

import os
import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dev.configuration import HOST, Configuration
from dev.infra import client
from dev.problem import StackProblem, first_line
from dev.processes import Child

# The part after MINIO_NOTIFY_WEBHOOK_ENABLE_ names the target.
TARGET_ARN = "arn:minio:sqs::LANDFALL:webhook"
# MinIO refuses the names of AWS's lifecycle, tagging and ACL events; tags come with ObjectCreated there.
EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectRestore:*"]
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def find_minio(environ: Mapping[str, str] = os.environ) -> str | None:
    """The program: what ``MINIO_BINARY`` names, or ``minio`` on the path; None if there is none.

    Raises:
        StackProblem: ``MINIO_BINARY`` names no program.
    """
    named = environ.get("MINIO_BINARY")
    found = shutil.which(named or "minio", path=environ.get("PATH", os.defpath))
    if named and not found:
        raise StackProblem(f"MINIO_BINARY is {named}, where there is no program.")
    return found


class MinIO:
    """One server: objects and events that wait in ``home/minio``, its log in ``home/logs``. It keeps its data.

    It is set as in ``docker-compose.localstack.yml``, and has no console.
    """

    def __init__(
        self,
        program: str,
        home: Path,
        port: int,
        webhook_port: int,
        secret: str,
        *,
        access_key: str = "test",
        secret_key: str = "testtest",
    ) -> None:
        """Events go to ``webhook_port`` of this machine, with ``secret``. MinIO wants a secret key of eight characters."""
        self.port, self._program, self._folder = port, program, home / "minio"
        self._webhook = f"http://{HOST}:{webhook_port}/", secret
        self._keys = access_key, secret_key
        self._child = Child("minio", home)

    @property
    def url(self) -> str:
        """The S3 endpoint."""
        return f"http://{HOST}:{self.port}"

    @property
    def child(self) -> Child:
        return self._child

    @property
    def waiting(self) -> list[Path]:
        """The files of events that nobody has taken yet."""
        return sorted(path for path in (self._folder / "events").rglob("*") if path.is_file())

    def start(self) -> None:
        """Start, and return when it takes requests and tells of them.

        Raises:
            StackProblem: it did not start.
        """
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        self._child.start([self._program, "server", str(data), "--address", f"{HOST}:{self.port}"], self._environment())
        self._child.wait_until(self._is_ready)

    def stop(self) -> None:
        """Stop in order. Harmless if it is not running."""
        self._child.stop()

    def kill(self) -> None:
        """Kill it (SIGKILL). Objects and events are on disk before a request is answered."""
        self._child.kill()

    def _environment(self) -> dict[str, str]:
        """A short environment: every ``MINIO_`` variable of the developer's shell means another server, and so may proxies."""
        endpoint, secret = self._webhook
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            "MINIO_ROOT_USER": self._keys[0],
            "MINIO_ROOT_PASSWORD": self._keys[1],
            "MINIO_NOTIFY_WEBHOOK_ENABLE_LANDFALL": "on",
            "MINIO_NOTIFY_WEBHOOK_ENDPOINT_LANDFALL": endpoint,
            "MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_LANDFALL": secret,
            "MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_LANDFALL": str(self._folder / "events"),
            "MINIO_NOTIFY_WEBHOOK_QUEUE_LIMIT_LANDFALL": "1000000",
            "MINIO_API_SYNC_EVENTS": "on",
            "MINIO_BROWSER": "off",
            # Or it asks its maker for a newer release.
            "MINIO_UPDATE": "off",
        }

    def _is_ready(self) -> bool:
        # It takes requests, and says that it is ready, a fifth of a second before it knows of any bucket's notifications.
        # What is put meanwhile is never told of. It prints this line last.
        if "SQS ARNs: " not in self._child.log.read_text(errors="replace"):
            return False
        try:
            with _OPENER.open(f"{self.url}/minio/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def make_bucket(configuration: Configuration) -> None:
    """Make the bucket, versioned, with its events sent to the webhook. Doing it again changes nothing.

    Raises:
        StackProblem: MinIO does not answer, or has no webhook target ``LANDFALL``.
    """
    keys = configuration.access_key, configuration.secret_key
    s3 = client("s3", configuration.emulator_url, *keys, s3={"addressing_style": "path"})
    bucket = configuration.bucket
    try:
        if bucket not in [known["Name"] for known in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        send_events(s3, bucket)
    except (BotoCoreError, ClientError) as error:
        raise StackProblem(
            f"MinIO at {configuration.emulator_url} does not do as it should ({first_line(error)}). It needs a webhook "
            "target named LANDFALL, as docker-compose.localstack.yml sets it."
        ) from None


def send_events(s3: Any, bucket: str) -> None:
    """Have MinIO tell the webhook of everything in the bucket that the catalogue records.

    Raises:
        BotoCoreError, ClientError: it does not.
    """
    target = {"Id": "landfall", "QueueArn": TARGET_ARN, "Events": EVENTS}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [target]})
