"""Bucket, queues and notification of the local stack, from the template that production uses."""

import contextlib
import json
import time
from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError
from localstack_client.session import Session

from dev.configuration import PROJECT, REGION
from dev.problem import StackProblem
from dev.stopping import obey

TEMPLATE = PROJECT / "infra" / "resources.yaml"
STACK = "landfall-local"
QUEUE_NAME = "landfall-events"


@dataclass(frozen=True)
class Deployed:
    """What the stack made. Queue URLs point at the endpoint it was deployed through."""

    bucket: str
    queue_url: str
    dead_queue_url: str
    queue_arn: str


class _Session(Session):
    """localstack-client's session for one endpoint, whatever ``AWS_ENDPOINT_URL`` says in the developer's shell."""

    def __init__(self, endpoint_url: str, access_key: str, secret_key: str) -> None:
        super().__init__(access_key, secret_key, aws_session_token=None, region_name=REGION)
        self._service_endpoint_mapping = dict.fromkeys(self._service_endpoint_mapping, endpoint_url)


def client(service: str, endpoint_url: str, access_key: str = "test", secret_key: str = "test", **options: Any) -> Any:
    """A boto3 client of the emulator. Credentials are made up, and never those of the developer.

    ``options`` are those of botocore's ``Config``.
    """
    session = _Session(endpoint_url, access_key, secret_key)
    options = {"connect_timeout": 3, "read_timeout": 30, "retries": {"total_max_attempts": 1}, "proxies": {}} | options
    return session.client(service, config=Config(**options))


def deploy(
    endpoint_url: str,
    bucket: str = "landfall-local",
    *,
    queue_name: str = QUEUE_NAME,
    visibility_seconds: int = 5,
    stack: str = STACK,
) -> Deployed:
    """Create the stack, or bring it up to the template. Doing it again changes nothing.

    Raises:
        StackProblem: the emulator refused; the message holds its reason.
    """
    names = {"BucketName": bucket, "QueueName": queue_name, "VisibilitySeconds": str(visibility_seconds)}
    deployment = _Deployment(endpoint_url, stack, names)
    if deployment.status() not in _GOOD or not deployment.is_whole():
        deployment.rebuild()
    deployment.update()
    return deployment.outputs()


_GOOD = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}


class _Deployment:
    def __init__(self, endpoint_url: str, stack: str, names: dict[str, str]) -> None:
        self._endpoint_url = endpoint_url
        self._cloudformation = client("cloudformation", endpoint_url)
        self._s3 = client("s3", endpoint_url, s3={"addressing_style": "path"})
        self._sqs = client("sqs", endpoint_url)
        self._stack, self._names = stack, names
        self._request = {
            "StackName": stack,
            "TemplateBody": TEMPLATE.read_text(),
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in names.items()],
        }

    def status(self) -> str:
        """The stack's status; empty if there is none."""
        return str(self._describe().get("StackStatus", ""))

    def is_whole(self) -> bool:
        """Whether everything is there that the stack says it made: an emulator that was killed may have lost some of it."""
        queues = [self._queue_url(name) for name in self._queue_names]
        return self._bucket_exists() and all(queues)

    def rebuild(self) -> None:
        """Start the stack over, around the bucket and its objects if they are there."""
        if self.status():
            self._cloudformation.delete_stack(StackName=self._stack)
            self._wait("deleted", lambda status: status in ("", "DELETE_COMPLETE"))
        for name in self._queue_names:
            if url := self._queue_url(name):
                self._sqs.delete_queue(QueueUrl=url)
        if self._bucket_exists():
            self._adopt_bucket()
        else:
            self._cloudformation.create_stack(**self._request)
            self._wait("created", lambda status: status == "CREATE_COMPLETE")

    def update(self) -> None:
        """Bring the stack up to the template."""
        try:
            self._cloudformation.update_stack(**self._request)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise StackProblem(f"The emulator refused {TEMPLATE.name}: {error}") from None
        self._wait("updated", lambda status: status in _GOOD)

    def outputs(self) -> Deployed:
        """What the stack made."""
        outputs = {item["OutputKey"]: item["OutputValue"] for item in self._describe()["Outputs"]}
        # The outputs have URLs with the emulator's own host name. SQS answers with URLs at the endpoint that we used.
        queue_url, dead_queue_url = (self._queue_url(name) or "" for name in self._queue_names)
        return Deployed(outputs["FilesBucketName"], queue_url, dead_queue_url, outputs["EventsQueueArn"])

    def _adopt_bucket(self) -> None:
        """Take the existing bucket into the stack. CloudFormation does this by an import, which may do nothing else."""
        properties = {"BucketName": self._names["BucketName"]}
        bucket = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "Properties": properties}
        change = {"StackName": self._stack, "ChangeSetName": "adopt-bucket"}
        self._cloudformation.create_change_set(
            **change,
            ChangeSetType="IMPORT",
            TemplateBody=json.dumps({"Resources": {"FilesBucket": bucket}}),
            ResourcesToImport=[
                {
                    "ResourceType": "AWS::S3::Bucket",
                    "LogicalResourceId": "FilesBucket",
                    "ResourceIdentifier": properties,
                }
            ],
        )
        self._cloudformation.get_waiter("change_set_create_complete").wait(**change, WaiterConfig={"Delay": 1})
        self._cloudformation.execute_change_set(**change)
        self._wait("imported", lambda status: status == "IMPORT_COMPLETE")

    def _describe(self) -> dict[str, Any]:
        try:
            return dict(self._cloudformation.describe_stacks(StackName=self._stack)["Stacks"][0])
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            return {}

    def _wait(self, aim: str, reached: Any, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while (status := self.status()).endswith("_IN_PROGRESS") and time.monotonic() < deadline:
            obey()
            time.sleep(0.05)
        if not reached(status):
            raise StackProblem(f"The stack {self._stack} was not {aim}, it is {status or 'gone'}: {self._reason()}")

    def _reason(self) -> str:
        with contextlib.suppress(ClientError):
            events = self._cloudformation.describe_stack_events(StackName=self._stack)["StackEvents"]
            reasons = [event.get("ResourceStatusReason", "") for event in events if "FAILED" in event["ResourceStatus"]]
            return "; ".join(filter(None, reasons)) or "no reason given"
        return "no reason given"

    @property
    def _queue_names(self) -> tuple[str, str]:
        return self._names["QueueName"], f"{self._names['QueueName']}-dead"

    def _bucket_exists(self) -> bool:
        try:
            self._s3.head_bucket(Bucket=self._names["BucketName"])
        except ClientError:
            return False
        return True

    def _queue_url(self, name: str) -> str | None:
        try:
            return str(self._sqs.get_queue_url(QueueName=name)["QueueUrl"])
        except ClientError:
            return None
