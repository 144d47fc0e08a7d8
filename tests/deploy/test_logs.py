"""The log of a database of the stack's own, whose group AWS makes: kept for as long as the others."""

import json
from typing import Any

from deploy.cloud import Cloud
from deploy.logs import keep_database_log
from deploy.stack import Stack
from dev.infra import client

# A stack that has something under the database's name: the emulator makes no Aurora.
_DATABASE = {"DatabaseCluster": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "made-up-cluster"}}}
_OTHER = {"Other": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "no-cluster"}}}
_GROUP = "/aws/rds/cluster/made-up-cluster/postgresql"


def _stack(cloud: Cloud, name: str, resources: dict[str, Any]) -> Stack:
    parameters = {"LogDays": {"Type": "Number", "Default": 7}}
    cloudformation = client("cloudformation", cloud.endpoint or "")
    cloudformation.create_stack(
        StackName=name, TemplateBody=json.dumps({"Parameters": parameters, "Resources": resources})
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    return Stack(cloud, name)


def test_the_log_of_the_stacks_own_database_is_kept_as_long_as_the_others(cloud: Cloud) -> None:
    stack = _stack(cloud, "with-database", _DATABASE)
    # The second time, the group is there, as when Aurora has made it.
    assert [keep_database_log(cloud, stack) for _ in range(2)] == [_GROUP] * 2

    (group,) = client("logs", cloud.endpoint or "").describe_log_groups(logGroupNamePrefix=_GROUP)["logGroups"]
    assert group["retentionInDays"] == 7


def test_a_stack_without_a_database_has_no_such_log(cloud: Cloud) -> None:
    assert keep_database_log(cloud, _stack(cloud, "without-database", _OTHER)) == ""
