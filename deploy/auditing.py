"""An audit of a stage by many functions at once."""

import json
import time
from typing import Any

from deploy.cloud import Cloud
from deploy.problem import DeployProblem

_PAUSE_SECONDS = 2.0


def run_audit(cloud: Cloud, machine_arn: str, wish: dict[str, Any]) -> dict[str, Any]:
    """Start the state machine of ``infra/audits.yaml``, and wait for its end; returns what was found.

    Args:
        wish: see `chalicelib.triggers.audits.audit`.

    Raises:
        DeployProblem: the audit has failed, or was stopped by its brake.
    """
    machines = cloud.client("stepfunctions")
    execution = machines.start_execution(stateMachineArn=machine_arn, input=json.dumps(wish))["executionArn"]
    while (found := machines.describe_execution(executionArn=execution))["status"] == "RUNNING":
        time.sleep(_PAUSE_SECONDS)
    if found["status"] != "SUCCEEDED":
        raise DeployProblem(
            f"The audit has not ended well: {found.get('cause') or found.get('error') or found['status']}"
        )
    return dict(json.loads(found["output"]))
