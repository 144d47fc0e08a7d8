"""The table of who may do what, `tests/api/matrix.yaml`, and a world in which each of its lines can be asked."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.files import BOUNDARY, form, part
from tests.support.identified import Service
from tests.support.things import STATES, Names, Things, promote

_TABLE = Path(__file__).parents[1] / "api" / "matrix.yaml"


@dataclass(frozen=True)
class Line:
    """One line of the table: a request, and the status of each asker's answer.

    Attributes:
        name: method and path, and what tells two lines of one route apart.
        kind: what its ids are of: see `Things`. Empty if it has none.
        expected: for each asker the status if the thing is there, if it was deleted, if there never was one.
        names: values of path parameters that are no ids.
        form: whether it sends a form with a file, in place of JSON.
    """

    name: str
    kind: str
    expected: dict[str, tuple[int, ...]]
    names: Names = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    form: bool = False

    @property
    def route(self) -> tuple[str, str]:
        """Method and path."""
        method, path, *_ = self.name.split(" ")
        return method, path

    @property
    def states(self) -> tuple[str, ...]:
        """What the thing may be like."""
        return STATES if self.kind else STATES[:1]


@cache
def read_table() -> dict[str, Line]:
    """All lines, by their names."""
    document = yaml.safe_load(_TABLE.read_text())
    lines = [
        _line(name, said if isinstance(said, dict) else {"owner": said}, group, document["askers"])
        for group in document["groups"]
        for name, said in group["lines"].items()
    ]
    assert len({line.name for line in lines}) == len(lines)
    return {line.name: line for line in lines}


def _line(name: str, said: dict[str, Any], group: dict[str, Any], askers: dict[str, str | None]) -> Line:
    kind, told = group.get("of", ""), group["default"] | said
    request = {part: said[part] for part in ("names", "query", "body", "form") if part in said}
    expected = {asker: _statuses(asker, told, askers, len(STATES) if kind else 1) for asker in askers}
    assert all(len(statuses) == (len(STATES) if kind else 1) for statuses in expected.values()), name
    assert set(said) <= {*askers, "names", "query", "body", "form"}, name
    return Line(name, kind, expected, **request)


def _statuses(asker: str, told: Mapping[str, Any], askers: Mapping[str, str | None], count: int) -> tuple[int, ...]:
    like: str | None = asker
    while like not in told:
        assert like is not None, f"nobody says what {asker} is answered"
        like = askers[like]
    found = tuple(map(int, str(told[like]).split()))
    return found * count if len(found) == 1 else found


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: str
    body: str


class World:
    """The service, everybody who asks, and things to ask about. All things are the owner's."""

    def __init__(self, service: Service) -> None:
        service.publish()
        self.service = service
        past = int(time.time()) - 7200
        self.askers: dict[str, str | None] = {
            "anonymous": None,
            "garbage": "Bearer not-a-token",
            "expired": service.token("owner", iat=past, exp=past + 600),
            "stranger": service.token("stranger"),
            "owner": service.token("owner", email="owner@example.com"),
            "operator": service.token("operator"),
            "viewer": service.token("viewer"),
            "editor": service.token("editor"),
        }
        # Everybody has come before, so that no refused request makes a user.
        known = ("stranger", "owner", "operator", "viewer", "editor")
        self.ids = {asker: str(json.loads(service.ask(self.askers[asker])["body"])["id"]) for asker in known}
        promote(self.ids["operator"])
        self.things = Things(service, service.token("owner"), self.ids["owner"])
        self.things.share_with({role: self.ids[role] for role in ("viewer", "editor")})
        self.askers["key of another prefix"] = f"Bearer {self.things.confined_key()}"
        self.ids["key of another prefix"] = self.ids["owner"]
        self.askers["revoked key"] = f"Bearer {self.things.names('api_key', 'deleted', 'asking')['secret']}"
        self.askers["admin key"] = f"Bearer {self.things.names('api_key', 'there', 'asking')['secret']}"
        self.ids["admin key"] = self.ids["owner"]
        for key in ("admin key", "key of another prefix"):  # the first use of a day is noted
            service.ask(self.askers[key], "/api/users")
            service.ask(self.askers[key], "/api/me")

    def names(self, line: Line, asker: str, state: str) -> Names:
        """What a line's request names: a thing of the asker's own tries where it may change it, else one for all askers."""
        is_free = line.expected[asker][line.states.index(state)] < 400
        return self.things.names(line.kind, state, f"{line.name} {asker if is_free else ''}")

    def ask(self, asker: str, line: Line, names: Names, **headers: str) -> Answer:
        """Send a line's request. ``names`` take the places of ``{...}`` in path, query and body."""
        method, resource = line.route
        names = names | line.names | {"me": self.ids.get(asker, "nobody")}
        sent: dict[str, Any] = {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}
        sent["pathParameters"] = {name: value for name, value in names.items() if f"{{{name}}}" in resource} or None
        sent["multiValueQueryStringParameters"] = {
            name: [_fill(text, names)] for name, text in line.query.items()
        } or None
        if line.form:
            sent["body"] = form(part(b"hello", filename="a")).decode()
            sent["headers"] |= {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        elif line.body is not None:
            sent["body"] = _fill(json.dumps(line.body), names)
            sent["headers"] |= {"Content-Type": "application/json"}
        answer = self.service.ask(self.askers[asker], resource, method, **sent)
        return Answer(answer["statusCode"], str(answer["headers"] | answer["multiValueHeaders"]), answer["body"])


def without_names(answer: Answer, names: Names) -> Answer:
    """An answer without what differs with each request: ids, times, signatures, and ``names``."""
    headers, body = answer.headers, answer.body
    for name, value in sorted(names.items(), key=lambda item: -len(item[1])):
        headers, body = headers.replace(value, name), body.replace(value, name)
    return Answer(answer.status, _DIFFERING.sub("…", headers), _DIFFERING.sub("…", body))


_DIFFERING = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z|(?<=X-Amz-Date=)\w+|(?<=Signature=)\w+|[\w-]{100,}|lf_[\w-]+"
    r"|(?<=uploadId\": \")[^\"]+|(?<=signature\": \")\w+|(?<=Date\": \")\w+"
)


def _fill(text: str, names: Names) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text
