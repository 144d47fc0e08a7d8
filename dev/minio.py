"""The bucket on MinIO, which knows no CloudFormation: made by hand, with a webhook in place of a queue."""

from botocore.exceptions import BotoCoreError, ClientError

from dev.configuration import Configuration
from dev.infra import client
from dev.problem import StackProblem, first_line

# The part after MINIO_NOTIFY_WEBHOOK_ENABLE_ names the target.
TARGET_ARN = "arn:minio:sqs::LANDFALL:webhook"
# MinIO refuses the names of AWS's lifecycle, tagging and ACL events; tags come with ObjectCreated there.
_EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectRestore:*"]


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
        target = {"Id": "landfall", "QueueArn": TARGET_ARN, "Events": _EVENTS}
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [target]}
        )
    except (BotoCoreError, ClientError) as error:
        raise StackProblem(
            f"MinIO at {configuration.emulator_url} does not do as it should ({first_line(error)}). It needs a webhook "
            "target named LANDFALL, as docker-compose.localstack.yml sets it."
        ) from None
