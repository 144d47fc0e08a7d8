"""Deletes a stage with all its data."""

from collections.abc import Callable

from deploy.buckets import remove_bucket
from deploy.cloud import Cloud
from deploy.stack import Stack


def remove(cloud: Cloud, stack: Stack, report: Callable[[str], None], database: str | None) -> None:
    """Delete a stack, then what stays when a stack is deleted, so that nobody deletes it by mistake.

    ``database``: the stack's own, which is protected against being deleted until now.
    """
    dead_queue, pool = stack.physical_id("DeadEventsQueue"), stack.physical_id("UserPool")
    buckets = [name for kind in ("FilesBucket", "SiteBucket", "KeysBucket") if (name := stack.physical_id(kind))]
    if database:
        unprotected = {"DBClusterIdentifier": database, "DeletionProtection": False, "ApplyImmediately": True}
        cloud.client("rds").modify_db_cluster(**unprotected)
    stack.delete(report)
    for name in buckets:
        remove_bucket(cloud.client("s3"), name)
    if dead_queue:
        cloud.client("sqs").delete_queue(QueueUrl=dead_queue)
    if pool:
        cloud.client("cognito-idp").delete_user_pool(UserPoolId=pool)
