"""The bucket on a Ceph cluster that is up: a topic that posts to our receiver, and the bucket's notification to it.

Ceph 18 (reef) is the least: 16.2.15 dies when many objects are deleted at once in a bucket with notifications.
"""

import socket
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from dev.configuration import Configuration
from dev.infra import client
from dev.problem import StackProblem, first_line

_NAME = "landfall"
_EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
# Ceph 16 has no such event.
_LIFECYCLE = ["s3:ObjectLifecycle:Expiration:*"]

# Browsers send uploads straight to the store, as the template allows it on AWS.
_CORS = {
    "AllowedOrigins": ["*"],
    "AllowedMethods": ["GET", "HEAD", "PUT", "POST", "DELETE"],
    "AllowedHeaders": ["*"],
    "ExposeHeaders": ["ETag", "Location", "x-amz-version-id"],
    "MaxAgeSeconds": 3000,
}


def make_bucket(configuration: Configuration, receiver_url: str) -> None:
    """Have the bucket's events posted to ``receiver_url``. Doing it again changes nothing.

    A bucket that isn't there is made, with versions. One that is there keeps its versioning, its objects, and what
    others have configured to be notified of.

    Raises:
        StackProblem: Ceph does not answer, or refuses; the message says what.
    """
    keys = configuration.access_key, configuration.secret_key
    s3 = client("s3", configuration.emulator_url, *keys, s3={"addressing_style": "path"})
    sns = client("sns", configuration.emulator_url, *keys)
    try:
        _ensure_bucket(s3, configuration.bucket)
        # A persistent topic keeps events in the cluster until they are taken, so none is lost while Landfall is down.
        attributes = {"push-endpoint": receiver_url, "persistent": "true"}
        topic = sns.create_topic(Name=f"{_NAME}-{configuration.bucket}", Attributes=attributes)["TopicArn"]
        _subscribe(s3, configuration.bucket, topic)
    except (BotoCoreError, ClientError) as error:
        raise StackProblem(
            f"Ceph at {configuration.emulator_url} does not do as it should ({first_line(error)}). It takes a RADOS gateway "
            "of Ceph 18 or later, and the keys of a user who may make buckets and topics: CEPH_ENDPOINT, "
            "CEPH_ACCESS_KEY, CEPH_SECRET_KEY."
        ) from None


def address_towards(endpoint: str) -> str:
    """The address of this machine that a server at ``endpoint`` can call back."""
    parts = urlsplit(endpoint)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((parts.hostname or "127.0.0.1", parts.port or 80))  # sends nothing
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _ensure_bucket(s3: Any, bucket: str) -> None:
    if bucket not in [known["Name"] for known in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [_CORS]})


def _subscribe(s3: Any, bucket: str, topic: str) -> None:
    present = s3.get_bucket_notification_configuration(Bucket=bucket).get("TopicConfigurations", [])
    others = [configured for configured in present if configured["Id"] != _NAME]
    for events in ([*_EVENTS, *_LIFECYCLE], _EVENTS):
        ours = {"Id": _NAME, "TopicArn": topic, "Events": events}
        try:
            s3.put_bucket_notification_configuration(
                Bucket=bucket, NotificationConfiguration={"TopicConfigurations": [*others, ours]}
            )
            return
        except ClientError as error:
            if events is _EVENTS or error.response["Error"]["Code"] not in ("InvalidArgument", "MalformedXML"):
                raise
