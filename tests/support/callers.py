"""Callers of the API in this process: people of the local stage, and API keys."""

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.support.gateway import send


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    json: Any
    headers: dict[str, str]


@dataclass(frozen=True)
class Caller:
    """Somebody who sends these headers with each request. The demo operator sends none."""

    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, method: str, resource: str, document: Any = None, **parts: Any) -> Reply:
        """Send a request. ``query`` has its query parameters; other ``parts`` are values of the path."""
        headers = {"Host": "h"} | self.headers
        query = parts.pop("query", None)
        if document is not None:
            headers |= {"Content-Type": "application/json"}
        answer = send(
            method,
            resource,
            headers=headers,
            body=None if document is None else json.dumps(document),
            pathParameters=parts or None,
            multiValueQueryStringParameters=query and {name: [value] for name, value in query.items()},
        )
        text = answer["body"]
        return Reply(answer["statusCode"], json.loads(text) if text else None, answer["headers"])

    def new_member(self, name: str = "Ada", role: str = "member") -> "Caller":
        """A new user, as this operator makes it."""
        made = self("POST", "/api/users", {"name": name, "role": role})
        assert made.status == 201, made
        return Caller({"X-Landfall-User": made.json["id"]})

    @property
    def user_id(self) -> str:
        """The user that this caller is."""
        return self.headers["X-Landfall-User"]

    def new_key(self, *scopes: str, **fields: Any) -> tuple["Caller", dict[str, Any]]:
        """A caller with a new key of this one's, and the key's document."""
        made = self("POST", "/api/keys", {"name": "machine", "scopes": list(scopes), **fields})
        assert made.status == 201, made
        return bearer(made.json["secret"]), made.json

    def new_file(self, name: str = "a.txt", **fields: Any) -> Any:
        """Announce a file; says its document."""
        made = self("POST", "/api/files", {"name": name, "size": 5, **fields})
        assert made.status == 201, made
        return made.json


def bearer(token: str) -> Caller:
    """Who sends this token or key."""
    return Caller({"Authorization": f"Bearer {token}"})


def made_up_secret() -> str:
    """A key of the right form that was never given out."""
    return f"lf_{uuid4().hex}_{'A' * 43}"
