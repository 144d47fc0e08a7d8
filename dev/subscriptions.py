"""Having a bucket that was there before tell of its events, whatever stands in for AWS, beside what others have configured."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dev import ceph, minio
from dev.configuration import REGION, Configuration
from dev.event_source import ACCOUNT
from dev.infra import QUEUE_NAME, client
from dev.problem import StackProblem, first_line
from dev.services import receiver_url

# As `infra/resources.yaml` has them for the bucket that it makes.
EVENTS = (
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleTransition",
    "s3:ObjectRestore:*",
    "s3:ObjectTagging:*",
    "s3:ObjectAcl:Put",
)
_ID = "landfall"
_KINDS = ("QueueConfigurations", "TopicConfigurations", "LambdaFunctionConfigurations")


def subscribe_locally(configuration: Configuration, bucket: str) -> None:
    """Have a bucket of the local stack tell of its events. Doing it again changes nothing.

    Raises:
        StackProblem: there is no such bucket, others get the same events, or the store refuses.
    """
    keys = configuration.access_key, configuration.secret_key
    s3 = client("s3", configuration.emulator_url, *keys, s3={"addressing_style": "path"})
    require_bucket(s3, bucket)
    if configuration.stand_in == "ceph":
        ceph.make_bucket(replace(configuration, bucket=bucket), receiver_url(configuration))
    elif configuration.stand_in == "minio":
        subscribe(s3, bucket, minio.TARGET_ARN, minio.EVENTS, is_shared=True)
    else:
        subscribe(s3, bucket, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE_NAME}", EVENTS)


def require_bucket(s3: Any, bucket: str) -> None:
    """Raises:
    StackProblem: there is no such bucket, or it may not be read.
    """
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        known = error.response["ResponseMetadata"]["HTTPStatusCode"]
        reasons = {404: "There is no bucket", 403: "You may not read the bucket"}
        raise StackProblem(f"{reasons.get(known, 'S3 refuses the bucket')} {bucket}.") from None
    except BotoCoreError as error:
        raise StackProblem(f"S3 does not answer: {first_line(error)} (is `make run` running?)") from None


def subscribe(s3: Any, bucket: str, queue_arn: str, events: Sequence[str], *, is_shared: bool = False) -> bool:
    """Have a bucket send events to a queue, beside what it sends to others; returns False if it did so before.

    S3 takes one receiver for an event of a key. So where another one gets some of these events, nothing is changed. Some other
    stores send an event to several: ``is_shared``.

    Raises:
        StackProblem: another one does, the bucket is not to be configured, or somebody has configured it at the same time.
    """
    try:
        present = s3.get_bucket_notification_configuration(Bucket=bucket)
        present = {kind: value for kind, value in present.items() if kind != "ResponseMetadata"}
        queues = present.get("QueueConfigurations", [])
        if any(_is_ours(one, queue_arn) and set(events) <= set(one["Events"]) for one in queues):
            return False
        wanted = {"Id": _ID, "QueueArn": queue_arn, "Events": list(events)}
        others = {**present, "QueueConfigurations": [one for one in queues if one.get("Id") != _ID]}
        if not is_shared:
            _require_free(others, bucket, events)
        configured = {**others, "QueueConfigurations": [*others["QueueConfigurations"], wanted]}
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configured)
    except (BotoCoreError, ClientError) as error:
        raise StackProblem(f"The bucket {bucket} can't be made to tell of its events: {first_line(error)}") from None
    return True


def _is_ours(configured: dict[str, Any], queue_arn: str) -> bool:
    return configured["QueueArn"] == queue_arn and not configured.get("Filter")


def _require_free(others: dict[str, Any], bucket: str, events: Iterable[str]) -> None:
    for kind in _KINDS:
        for one in others.get(kind, []):
            shared = sorted(theirs for theirs in one["Events"] if any(_overlaps(theirs, ours) for ours in events))
            if shared:
                raise StackProblem(
                    f"The bucket {bucket} sends {', '.join(shared)} to {_receiver(one)} already, and S3 takes one receiver for "
                    "each event. Have it send to an SNS topic, and that to both, or use EventBridge: Landfall reads either from "
                    "its queue. Nothing was changed."
                )


def _overlaps(one: str, other: str) -> bool:
    return one == other or any(
        wide.endswith("*") and narrow.startswith(wide[:-1]) for wide, narrow in ((one, other), (other, one))
    )


def _receiver(configured: dict[str, Any]) -> str:
    return next(str(value) for name, value in configured.items() if name.endswith("Arn"))
