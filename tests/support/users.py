"""Members of an API under test, their limits, and what they use."""

from typing import Any

from tests.support.api import Api


def new_member(operator: Api, name: str = "Grace", **fields: Any) -> Api:
    """A client who is a member with nothing of its own yet."""
    answer = operator("POST", "/api/users", {"name": name, **fields})
    assert answer.status == 201, answer.body
    return operator.as_user(answer.json)


def limit(operator: Api, member: Api, **limits: Any) -> None:
    """Give a member these limits and no others."""
    answer = operator("PATCH", f"/api/users/{member.user_id}", {"limits": limits})
    assert answer.status == 200, answer.body


def usage(member: Api) -> Any:
    """What the API says that a member uses."""
    return member("GET", f"/api/users/{member.user_id}/usage").json


def used(member: Api) -> tuple[int, int]:
    """How many files a member has, and how many bytes."""
    told = usage(member)
    return told["files"], told["bytes"]
