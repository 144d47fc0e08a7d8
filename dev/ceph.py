"""The bucket on a Ceph cluster that is up: a topic that posts to our receiver, and the bucket's notification to it.

Ceph 18 (reef) is the least to recommend: 16.2.15 dies when any client deletes many objects at once in such a bucket.
"""

import re
import socket
import time
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import URLLib3Session

from dev.configuration import REGION, Configuration
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
        _renew(configuration, s3, sns, receiver_url)
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


def _renew(configuration: Configuration, s3: Any, sns: Any, receiver_url: str) -> None:
    """Have the bucket's events posted by a new topic, and remove those of the starts before the last one.

    A persistent topic keeps events in the cluster until they are taken. But if about fifty at once can't be delivered
    because nobody listens, Ceph 18.2.7 never tries that topic again. So each start gets a topic of its own. The last
    one's is left, to deliver what waits in it if it still can; otherwise the catch-up at the start finds what was missed.

    Ceph refuses puts to a bucket that notifies a topic which is gone. So the order matters.
    """
    bucket = configuration.bucket
    # Another Landfall on this bucket has another secret, and topics of its own.
    instance = sha256(receiver_url.rpartition("/")[2].encode()).hexdigest()[:8]
    name = f"{_NAME}-{bucket}-{instance}-"
    ours = re.compile(re.escape(name) + r"\d+$")
    earlier = sorted({arn for arn in _topics(sns) if ours.match(arn.rpartition(":")[2])})
    attributes = {"push-endpoint": receiver_url, "persistent": "true"}
    topic = str(sns.create_topic(Name=f"{name}{time.time_ns()}", Attributes=attributes)["TopicArn"])
    for configured in _subscribe(s3, bucket, topic):
        if configured["TopicArn"] in earlier:
            _unsubscribe(configuration, configured["Id"])
    left = {configured["TopicArn"] for configured in _notified(s3, bucket)}
    for arn in earlier[:-1]:
        if arn not in left:
            sns.delete_topic(TopicArn=arn)


def _topics(sns: Any) -> list[str]:
    return [topic["TopicArn"] for page in sns.get_paginator("list_topics").paginate() for topic in page["Topics"]]


def _notified(s3: Any, bucket: str) -> list[dict[str, Any]]:
    return list(s3.get_bucket_notification_configuration(Bucket=bucket).get("TopicConfigurations", []))


def _subscribe(s3: Any, bucket: str, topic: str) -> list[dict[str, Any]]:
    """Have the bucket notify the topic; returns what it was configured to notify before."""
    present = _notified(s3, bucket)
    for events in ([*_EVENTS, *_LIFECYCLE], _EVENTS):
        new = {"Id": topic.rpartition(":")[2], "TopicArn": topic, "Events": events}
        try:
            s3.put_bucket_notification_configuration(
                Bucket=bucket, NotificationConfiguration={"TopicConfigurations": [*present, new]}
            )
            break
        except ClientError as error:
            if events is _EVENTS or error.response["Error"]["Code"] not in ("InvalidArgument", "MalformedXML"):
                raise
    return present


def _unsubscribe(configuration: Configuration, identifier: str) -> None:
    """Remove one of the bucket's notifications. A PUT only adds to them, and boto3 doesn't know Ceph's DELETE."""
    url = f"{configuration.endpoint}/{configuration.bucket}?notification={quote(identifier, safe='')}"
    request = AWSRequest("DELETE", url)
    S3SigV4Auth(Credentials(configuration.access_key, configuration.secret_key), "s3", REGION).add_auth(request)
    URLLib3Session(proxies={}).send(request.prepare())
