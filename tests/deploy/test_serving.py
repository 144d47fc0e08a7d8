"""Which snapshot of an API is served after parameters alone have changed it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from deploy.cloud import Cloud
from deploy.serving import STAGE, serve_as_it_is


@dataclass
class ChangedStack:
    """A stack whose last change began then. The emulator itself makes an API anew where AWS changes it."""

    changed_at: datetime


@pytest.mark.parametrize("is_older", [True, False], ids=["a snapshot of before", "a snapshot of now"])
def test_an_api_that_was_changed_after_its_snapshot_is_served_as_it_is(cloud: Cloud, is_older: bool) -> None:
    gateway = cloud.client("apigateway")
    api_id = gateway.create_rest_api(name="landfall-test")["id"]
    root = gateway.get_resources(restApiId=api_id)["items"][0]["id"]
    gateway.put_method(restApiId=api_id, resourceId=root, httpMethod="GET", authorizationType="NONE")
    gateway.put_integration(restApiId=api_id, resourceId=root, httpMethod="GET", type="MOCK")
    before = gateway.create_deployment(restApiId=api_id, stageName=STAGE)["id"]
    began = datetime.now(UTC) + timedelta(minutes=1 if is_older else -1)

    lines: list[str] = []
    serve_as_it_is(cloud, ChangedStack(began), api_id, lines.append)  # type: ignore[arg-type]

    served = gateway.get_stage(restApiId=api_id, stageName=STAGE)["deploymentId"]
    assert (served != before, len(lines)) == (is_older, int(is_older))
