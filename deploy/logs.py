"""How long logs are kept that no template can say it of: AWS makes their groups itself, under names that it makes up."""

from contextlib import suppress

from deploy.cloud import Cloud
from deploy.stack import Stack


def keep_database_log(cloud: Cloud, stack: Stack) -> str:
    """Have CloudWatch keep the log of the stack's own database for `LogDays`; returns its group, "" if there is no such database.

    Aurora makes the group with its first line. So it may be made here before.
    """
    database, days = stack.physical_id("DatabaseCluster"), stack.parameters().get("LogDays")
    if not database or not days:
        return ""
    logs, group = cloud.client("logs"), f"/aws/rds/cluster/{database}/postgresql"
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    logs.put_retention_policy(logGroupName=group, retentionInDays=int(days))
    return group
