"""Deletes a stage with all its data."""

from collections.abc import Callable

from deploy.buckets import remove_bucket
from deploy.cloud import Cloud
from deploy.problem import DeployProblem
from deploy.stack import Stack


def remove(cloud: Cloud, stack: Stack, report: Callable[[str], None], database: str | None) -> None:
    """Delete a stack, then what stays when a stack is deleted, so that nobody deletes it by mistake.

    ``database``: the stack's own, which is protected against being deleted until now.

    Raises:
        DeployProblem: the stack could not be deleted, or something is left in a bucket.
    """
    dead_queue, pool = stack.physical_id("DeadEventsQueue"), stack.physical_id("UserPool")
    kinds = ("FilesBucket", "SiteBucket", "KeysBucket", "BellBucket")
    buckets = [name for kind in kinds if (name := stack.physical_id(kind))]
    if database:
        unprotected = {"DBClusterIdentifier": database, "DeletionProtection": False, "ApplyImmediately": True}
        cloud.client("rds").modify_db_cluster(**unprotected)
    stack.delete(report)
    if dead_queue:
        cloud.client("sqs").delete_queue(QueueUrl=dead_queue)
    if pool:
        cloud.client("cognito-idp").delete_user_pool(UserPoolId=pool)
    problems = [problem for name in buckets if (problem := _remove_bucket(cloud, name))]
    if problems:
        raise DeployProblem(" ".join(problems))


def _remove_bucket(cloud: Cloud, name: str) -> str:
    """Remove a bucket; returns what is in the way, or nothing. The others are removed all the same."""
    try:
        remove_bucket(cloud.client("s3"), name)
    except DeployProblem as problem:
        return str(problem)
    return ""
