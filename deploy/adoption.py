"""Taking a bucket that was there before into a stage."""

from deploy.cloud import Cloud
from deploy.migration import Migrator
from deploy.problem import DeployProblem
from deploy.stack import Stack
from dev.subscriptions import EVENTS, require_bucket, subscribe


def adopt(cloud: Cloud, stack: Stack, migrator: Migrator, bucket: str) -> str:
    """Have a bucket's events recorded, and all that it holds; returns the id of the audit that does the latter.

    Raises:
        DeployProblem: the functions may not read it. StackProblem: there is none, or others get its events.
    """
    outputs, named = stack.outputs(), stack.parameters().get("ExtraBuckets", "")
    if bucket not in (outputs["FilesBucketName"], *named.split(",")):
        all_of_them = ",".join(filter(None, [named, bucket]))
        raise DeployProblem(
            f"The functions may not read {bucket} yet. First: make deploy STAGE={stack.name.removeprefix('landfall-')} "
            f'PARAMETERS="ExtraBuckets={all_of_them}"'
        )
    s3 = cloud.client("s3")
    require_bucket(s3, bucket)
    subscribe(s3, bucket, outputs["EventsQueueArn"], EVENTS)
    return str(migrator.invoke({"action": "adopt", "bucket": bucket})["audit"])
