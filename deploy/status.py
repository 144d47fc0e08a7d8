"""How a stage stands: what an operator looks at first. A monitor looks at the exit code."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from deploy.cloud import Cloud
from deploy.migration import Migrator
from deploy.problem import DeployProblem
from deploy.releases import Release
from deploy.stack import GOOD, Stack

# Not 2, which is what a wrong command line ends with.
NEEDS_ATTENTION = 3
_UNKNOWN = "not known"


@dataclass
class Status:
    """What was found out.

    Attributes:
        rows: for people, by their headings.
        facts: for programs, as they go into JSON; None where something could not be found out.
        attention: what somebody should look at, a sentence each.
    """

    rows: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    attention: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 if all is well."""
        return NEEDS_ATTENTION if self.attention else 0

    def add(self, heading: str, name: str, value: Any, shown: str = "", worry: str = "") -> None:
        """Note one fact; ``worry`` says what is wrong with it, if something is."""
        self.rows[heading] = shown or (_UNKNOWN if value is None else str(value))
        self.facts[name] = value
        if worry:
            self.attention.append(worry)


def look(
    cloud: Cloud,
    stack: Stack,
    migrator: Migrator,
    release: Release | None,
    addresses: dict[str, str],
    outputs: dict[str, str],
) -> Status:
    """Ask everything that knows something about a stage. If something doesn't answer, the rest is still asked."""
    status, state, parameters = Status(), stack.status, stack.parameters()
    worry = "" if state in GOOD else f"The stack is {state}."
    status.add("Stack", "stack", state, f"{stack.name}: {state}", worry)
    shown = f"{release.id}, since {release.deployed_at}" if release else ""
    status.add("Release", "release", release and release.id, shown)
    for name, value in addresses.items():
        status.add(name, name.lower(), value)
    _add_schema(status, migrator)
    _add_queues(status, cloud, outputs, float(parameters.get("IngestAgeSeconds") or 60))
    _add_backlog(status, migrator, stack.name.removeprefix("landfall-"))
    _add_alarms(status, cloud, stack, parameters.get("AlarmEmail", ""))
    return status


def _add_schema(status: Status, migrator: Migrator) -> None:
    try:
        schema = migrator.status()
    except DeployProblem as problem:
        status.add("Schema", "schema", None, f"{_UNKNOWN}. {problem}", f"The schema can't be asked for: {problem}")
        return
    shown = f"{schema['database']} ({schema['state']}; the code needs {schema['code']})"
    worry = "The schema is behind the code: deploy again." if schema["state"] == "behind" else ""
    status.add("Schema", "schema", schema, shown, worry)


def _add_queues(status: Status, cloud: Cloud, outputs: dict[str, str], patience: float) -> None:
    waiting, dead = (_messages(cloud, outputs[name]) for name in ("EventsQueueUrl", "DeadEventsQueueUrl"))
    status.add("Waiting events", "waiting_events", waiting)
    age = 0.0 if waiting == 0 else _oldest_age(cloud, outputs["EventsQueueUrl"])
    late = f"The oldest event waits for {age:.0f} s." if age is not None and age > patience else ""
    status.add("Oldest event", "oldest_event_seconds", age, "" if age is None else f"{age:.0f} s", late)
    died = "Events that failed all their tries can't be laid away: is the database there?" if dead else ""
    status.add("Dying events", "dying_events", dead, worry=died)


def _messages(cloud: Cloud, queue_url: str) -> int | None:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = _ask(lambda: cloud.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=names))
    return None if answer is None else sum(int(answer["Attributes"][name]) for name in names)


def _oldest_age(cloud: Cloud, queue_url: str) -> float | None:
    """Seconds, from the queue's latest metric: looking into the queue itself would cost each event a try."""
    now = datetime.now(UTC)
    answer = _ask(
        lambda: cloud.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName="ApproximateAgeOfOldestMessage",
            Dimensions=[{"Name": "QueueName", "Value": queue_url.rpartition("/")[2]}],
            StartTime=now - timedelta(minutes=15),
            EndTime=now,
            Period=60,
            Statistics=["Maximum"],
        )
    )
    points = sorted((answer or {}).get("Datapoints", []), key=lambda point: point["Timestamp"])
    return float(points[-1]["Maximum"]) if points else None


def _add_backlog(status: Status, migrator: Migrator, stage: str) -> None:
    try:
        found = migrator.invoke({"action": "backlog"})
    except DeployProblem:  # no database, or a release that doesn't know this yet
        found = dict.fromkeys(
            ("failed_jobs", "open_jobs", "pending_uploads", "overdue_uploads", "uninspected_versions")
        )
    failed, overdue = found["failed_jobs"], found["overdue_uploads"]
    status.add(
        "Failed jobs", "failed_jobs", failed, worry="Jobs failed within the last day: GET /api/jobs" if failed else ""
    )
    status.add("Open jobs", "open_jobs", found["open_jobs"])
    status.add("Pending uploads", "pending_uploads", found["pending_uploads"])
    late = "Uploads that should have been given up hours ago are still pending: is the function Work running?"
    status.add("Overdue uploads", "overdue_uploads", overdue, worry=late if overdue else "")
    given_up = found.get("uninspected_versions")  # an earlier release doesn't answer this
    again = "Inspection has given up: python -m deploy inspect" if given_up else ""
    status.add("Not inspected", "uninspected_versions", given_up, worry=again)
    dead = found.get("dead_events")
    died = f"Events have failed all their tries: python -m deploy dead --stage {stage}" if dead else ""
    status.add("Dead events", "dead_events", dead, worry=died)


def _add_alarms(status: Status, cloud: Cloud, stack: Stack, email: str) -> None:
    names = stack.resources("AWS::CloudWatch::Alarm")
    answer = _ask(lambda: cloud.client("cloudwatch").describe_alarms(AlarmNames=sorted(names)))
    alarms = None if answer is None else answer["MetricAlarms"]
    ringing = [alarm for alarm in alarms or [] if alarm["StateValue"] == "ALARM"]
    shown = ", ".join(alarm["AlarmName"] for alarm in ringing) or ("" if alarms is None else f"none of {len(alarms)}")
    worry = "; ".join(f"Alarm: {alarm.get('AlarmDescription') or alarm['AlarmName']}" for alarm in ringing)
    status.add("Alarms", "alarms", None if alarms is None else [alarm["AlarmName"] for alarm in ringing], shown, worry)
    status.add("Alarms go to", "alarm_email", email or None, email or "nobody: set AlarmEmail")


def _ask(question: Callable[[], Any]) -> Any:
    """An answer, or None: not everybody may ask for everything, and not every emulator has it."""
    try:
        return question()
    except (ClientError, BotoCoreError):
        return None
