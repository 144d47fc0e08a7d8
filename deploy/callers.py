"""Who may call a stage: the keys of its identity providers, and its first operator."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from deploy.cloud import Cloud
from deploy.migration import Migrator, invoke
from deploy.problem import DeployProblem
from deploy.stack import Stack
from dev.event_source import scheduled_event

_FUNCTION = "FetchKeys"


def fetch_keys(cloud: Cloud, stack: Stack, report: Callable[[str], None]) -> None:
    """Have a stage fetch the keys of its identity providers now, and not only within the hour.

    A provider that doesn't answer is reported: its tokens are refused until it does.
    """
    name = stack.physical_id(_FUNCTION)
    if name is None:
        return
    answer = invoke(cloud.client("lambda"), name, scheduled_event(_FUNCTION, datetime.now(UTC), cloud.region))
    for issuer in answer["fetched"]:
        report(f"Tokens of {issuer} are taken.")
    for issuer, reason in answer["failed"].items():
        report(f"Warning: tokens of {issuer} are refused until its keys can be fetched. {reason}")


def make_operator(migrator: Migrator, user_id: str) -> str:
    """Make a user of the stage an operator; returns its name.

    Raises:
        DeployProblem: there is no such user.
    """
    try:
        UUID(user_id)
    except ValueError:
        raise DeployProblem(f"{user_id!r} is no user's id. GET /api/me tells everybody their own.") from None
    return str(migrator.invoke({"action": "operator", "user": user_id})["name"])
