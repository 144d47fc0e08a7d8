"""Buckets and queues of an emulator, as a client of AWS makes and uses them."""

from typing import Any

from dev.infra import client


def s3_client(url: str) -> Any:
    """A boto3 client of the emulator at ``url``."""
    return client("s3", url, s3={"addressing_style": "path"})


def make_bucket(s3: Any, name: str, *, versioned: bool = False) -> None:
    s3.create_bucket(Bucket=name)
    if versioned:
        set_versioning(s3, name, "Enabled")


def set_versioning(s3: Any, bucket: str, status: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def send_events(s3: Any, bucket: str, queue_arn: str) -> None:
    """Have the bucket tell the queue of everything that the catalogue records."""
    target = {"QueueArn": queue_arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [target]})


def take_messages(sqs: Any, queue_url: str, wait_seconds: int = 0) -> list[str]:
    """The bodies of all messages in the queue, which is empty afterwards."""
    bodies: list[str] = []
    wanted = {"QueueUrl": queue_url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": wait_seconds}
    while messages := sqs.receive_message(**wanted).get("Messages"):
        for message in messages:
            bodies.append(message["Body"])
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return bodies


def empty_bucket(s3: Any, bucket: str) -> None:
    """Remove every version, delete marker and unfinished upload."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
