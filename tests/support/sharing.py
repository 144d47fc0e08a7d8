"""A session with members, of an API under test."""

from dataclasses import dataclass
from typing import Any

from tests.support.api import Answer, Api
from tests.support.files import unique, upload
from tests.support.users import new_member


@dataclass
class Shared:
    """A session of ``owner``'s with a file in it, and a file of the owner's in another session and one in none."""

    owner: Api
    session_id: str
    file: dict[str, Any]
    others: list[dict[str, Any]]

    @property
    def path(self) -> str:
        return f"/api/sessions/{self.session_id}"

    @property
    def named(self) -> str:
        """How others name the session in a query."""
        return f"owner_id={self.owner.user_id}&session_id={self.session_id}"

    def put(self, **fields: str) -> Answer:
        """Add a member."""
        return self.owner("POST", f"{self.path}/members", fields)

    def share(self, member: Api, role: str) -> str:
        """Share the session with a member; says the id of the membership."""
        answer = self.put(user_id=member.user_id, role=role)
        assert answer.status in (200, 201), answer.body
        return str(answer.json["id"])

    def member(self, operator: Api, role: str) -> Api:
        """A new user with this role in the session."""
        member = new_member(operator, role)
        self.share(member, role)
        return member


def new_shared(owner: Api) -> Shared:
    """A session, which isn't shared yet."""
    session_id = unique("shared")
    file = upload(owner, b"in it", "seen.txt", session_id=session_id, metadata='{"secret": "in it"}')
    elsewhere = upload(owner, b"elsewhere", "unseen.txt", session_id=unique("other"), metadata='{"secret": "out"}')
    loose = upload(owner, b"loose", "unseen too.txt", metadata='{"secret": "out"}')
    for one in (file, elsewhere, loose):  # a change is searched for at once
        answer = owner("PATCH", f"/api/files/{one['id']}", {"tags": ["found"]})
        assert answer.status == 200, answer.body
    return Shared(owner, session_id, file, [elsewhere, loose])
