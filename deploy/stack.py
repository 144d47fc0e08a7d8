"""One CloudFormation stack, changed by change sets only."""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from deploy.cloud import Cloud
from deploy.problem import DeployProblem

GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
_UNBORN = ("", "REVIEW_IN_PROGRESS")  # a change set that creates a stack makes it visible before it is executed
_NOTHING_TO_DO = ("didn't contain changes", "No updates are to be performed")
_BEGINNINGS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
_ADVICE = {
    "ROLLBACK_COMPLETE": "Nothing of it is left to use; `make destroy` removes the remains, then mend the cause and deploy "
    "again.",
    "UPDATE_ROLLBACK_COMPLETE": "Everything is as it was before; mend the cause and deploy again.",
}
_HOLDING_DATA = ("AWS::S3::Bucket", "AWS::RDS::DBCluster", "AWS::SQS::Queue")
# The network interfaces of functions alone take up to three quarters of an hour to go, a database a quarter.
_LONGEST_SECONDS = 7200


@dataclass(frozen=True)
class Change:
    """One line of a change set. ``replacement`` tells whether the resource is made anew: True, False or Conditional."""

    action: str
    name: str
    kind: str
    replacement: str

    @property
    def warning(self) -> str:
        """What to look at twice."""
        return {"True": "MADE ANEW", "Conditional": "may be made anew"}.get(self.replacement, "")

    @property
    def loses_data(self) -> bool:
        """Whether what the resource holds would be gone, or out of reach."""
        return self.kind in _HOLDING_DATA and (self.action == "Remove" or self.replacement == "True")


class Stack:
    """The stack ``name``, there or not."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        self.name = name
        self._cloudformation = cloud.client("cloudformation")

    @property
    def status(self) -> str:
        """CloudFormation's word for it; empty if there is none."""
        return str(self._describe().get("StackStatus", ""))

    @property
    def id(self) -> str:
        """CloudFormation's id, which another stack of the same name would not have; empty if there is none."""
        return str(self._describe().get("StackId", ""))

    @property
    def exists(self) -> bool:
        """Whether it was ever created and is not deleted."""
        return self.status not in (*_UNBORN, "DELETE_COMPLETE")

    def outputs(self) -> dict[str, str]:
        """The stack's outputs by name."""
        return {item["OutputKey"]: item["OutputValue"] for item in self._describe().get("Outputs", [])}

    def parameters(self) -> dict[str, str]:
        """The stack's parameters by name; those that CloudFormation hides are stars."""
        return {item["ParameterKey"]: item["ParameterValue"] for item in self._describe().get("Parameters", [])}

    @property
    def changed_at(self) -> datetime:
        """When its last change began, if it was created."""
        described = self._describe()
        found: datetime = described.get("LastUpdatedTime") or described["CreationTime"]
        return found

    def template(self) -> dict[str, Any]:
        """The template as it was submitted."""
        body = self._cloudformation.get_template(StackName=self.name, TemplateStage="Original")["TemplateBody"]
        return dict(json.loads(body)) if isinstance(body, str) else dict(body)

    def physical_id(self, logical_id: str) -> str | None:
        """The name of one of its resources; None if there is no such one."""
        try:
            resource = self._cloudformation.describe_stack_resource(StackName=self.name, LogicalResourceId=logical_id)
        except ClientError:
            return None
        detail = resource["StackResourceDetail"]
        if detail["ResourceStatus"] == "DELETE_COMPLETE":  # after a creation that was rolled back
            return None
        return detail.get("PhysicalResourceId") or None

    def resources(self, kind: str) -> list[str]:
        """The names of its resources of one kind."""
        pages = self._cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.name)
        found = (resource for page in pages for resource in page["StackResourceSummaries"])
        return [resource["PhysicalResourceId"] for resource in found if resource["ResourceType"] == kind]

    def prepare(
        self,
        change_set: str,
        template_url: str,
        parameters: Mapping[str, str],
        known: Collection[str],
        tags: Mapping[str, str],
    ) -> list[Change]:
        """Make a change set and say what it would do; an empty list if nothing.

        Parameters that are not given keep the value that they have, if they are among those that the template has,
        ``known``.

        Raises:
            DeployProblem: the stack is in no state to be changed, or CloudFormation refuses the template.
        """
        self._require_changeable()
        kept = (set(self.parameters()) & set(known)) - set(parameters) if self.exists else set()
        try:
            self._cloudformation.create_change_set(
                StackName=self.name,
                ChangeSetName=change_set,
                ChangeSetType="UPDATE" if self.exists else "CREATE",
                TemplateURL=template_url,
                Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
                + [{"ParameterKey": name, "UsePreviousValue": True} for name in sorted(kept)],
                Tags=[{"Key": name, "Value": value} for name, value in tags.items()],
                Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            )
            waiter = self._cloudformation.get_waiter("change_set_create_complete")
            waiter.wait(StackName=self.name, ChangeSetName=change_set, WaiterConfig={"Delay": 1, "MaxAttempts": 300})
        except ClientError as error:
            raise DeployProblem(f"CloudFormation refuses the template; nothing was changed: {error}") from None
        except WaiterError:
            return self._explain_refusal(change_set)
        return self._changes(change_set)

    def execute(self, change_set: str, report: Callable[[str], None]) -> None:
        """Carry a change set out, and wait.

        Raises:
            DeployProblem: something failed; says what, and how the stack is now.
        """
        created, seen = not self.exists, set[str]()
        self._events(seen)
        self._cloudformation.execute_change_set(StackName=self.name, ChangeSetName=change_set)
        status = self._wait(seen, report)
        if status == ("CREATE_COMPLETE" if created else "UPDATE_COMPLETE"):
            return
        advice = _ADVICE.get(status, "CloudFormation's console tells how it goes on.")
        raise DeployProblem(f"The stack {self.name} is {status}: {self._reasons()}. {advice}")

    def discard(self, change_set: str) -> None:
        """Forget a change set, if it is still there, and the empty stack that making it left, if any."""
        with suppress(ClientError):
            self._cloudformation.delete_change_set(StackName=self.name, ChangeSetName=change_set)
        if self.status == "REVIEW_IN_PROGRESS":
            self._cloudformation.delete_stack(StackName=self.name)

    def delete(self, report: Callable[[str], None]) -> None:
        """Delete the stack, and wait. Resources with the policy to stay, stay.

        Raises:
            DeployProblem: CloudFormation could not; says why.
        """
        seen = set[str]()
        self._events(seen)
        self._cloudformation.delete_stack(StackName=self.name)
        if (status := self._wait(seen, report)) not in ("", "DELETE_COMPLETE"):
            raise DeployProblem(f"The stack {self.name} could not be deleted, it is {status}: {self._reasons()}.")

    def _require_changeable(self) -> None:
        status = self.status
        if status in _UNBORN or status in GOOD or status == "DELETE_COMPLETE":
            return
        if status.endswith("_IN_PROGRESS"):
            raise DeployProblem(f"The stack {self.name} is being changed already ({status}); wait for that to end.")
        raise DeployProblem(
            f"The stack {self.name} is {status}, from which CloudFormation cannot go on: `make destroy` and deploy again, "
            "or mend it in the console."
        )

    def _explain_refusal(self, change_set: str) -> list[Change]:
        answer = self._cloudformation.describe_change_set(StackName=self.name, ChangeSetName=change_set)
        reason = answer.get("StatusReason", "no reason given")
        self.discard(change_set)
        if any(text in reason for text in _NOTHING_TO_DO):
            return []
        raise DeployProblem(f"CloudFormation refuses the changes; nothing was changed: {reason}")

    def _changes(self, change_set: str) -> list[Change]:
        pages = self._cloudformation.get_paginator("describe_change_set").paginate(
            StackName=self.name, ChangeSetName=change_set
        )
        return [_change(item["ResourceChange"]) for page in pages for item in page["Changes"]]

    def _wait(self, seen: set[str], report: Callable[[str], None]) -> str:
        deadline = time.monotonic() + _LONGEST_SECONDS
        while True:
            status = self.status
            for event in self._events(seen):
                # A resource whose deletion is skipped stays for now; `Deployment.down` says what becomes of it.
                if not event["ResourceStatus"].endswith(("_IN_PROGRESS", "DELETE_SKIPPED")):
                    report(f"  {event['ResourceStatus'].lower().replace('_', ' '):<28}{event['LogicalResourceId']}")
            if not status.endswith("_IN_PROGRESS") or time.monotonic() > deadline:
                return status
            time.sleep(1)

    def _events(self, seen: set[str]) -> list[dict[str, Any]]:
        """What happened since the last call, oldest first."""
        fresh = list(takewhile(lambda event: event["EventId"] not in seen, self._history()))
        seen.update(event["EventId"] for event in fresh)
        return fresh[::-1]

    def _history(self) -> Iterator[dict[str, Any]]:
        """All that ever happened, newest first; a page of a hundred is fetched when it is asked for."""
        with suppress(ClientError):  # no stack, no history
            pages = self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=self.name)
            for page in pages:
                yield from page["StackEvents"]

    def _reasons(self) -> str:
        """What failed by itself in the last change, and not because something else had failed."""
        reasons: list[str] = []
        for event in self._history():
            if event["LogicalResourceId"] == self.name and event["ResourceStatus"] in _BEGINNINGS:
                break
            reason = event.get("ResourceStatusReason", "")
            if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in reason:
                reasons.append(f"{event['LogicalResourceId']}: {reason}")
        return "; ".join(reversed(reasons)) or "CloudFormation gave no reason"

    def _describe(self) -> dict[str, Any]:
        try:
            return dict(self._cloudformation.describe_stacks(StackName=self.name)["Stacks"][0])
        except ClientError as error:
            if "does not exist" not in str(error):
                raise DeployProblem(f"CloudFormation does not answer: {error}") from None
            return {}


def _change(change: dict[str, Any]) -> Change:
    replacement = change.get("Replacement", "False") if change["Action"] == "Modify" else "False"
    return Change(change["Action"], change["LogicalResourceId"], change["ResourceType"], replacement)
