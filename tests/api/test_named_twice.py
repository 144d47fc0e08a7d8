"""Somebody who is a member of a session by id and by address: it is one membership, and no list tells that it is."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import Api
from tests.support.sharing import Shared, new_shared
from tests.support.users import new_member


@dataclass
class Twice:
    """A member under two names."""

    shared: Shared
    member: Api
    by_id: str
    by_mail: str
    email: str

    def role(self) -> str | None:
        """What the member may do in the session; None: nothing."""
        found = self.member("GET", "/api/sessions?shared=true").json["items"]
        status = self.member("GET", f"/api/files/{self.shared.file['id']}").status
        assert status == (200 if found else 404)
        return str(found[0]["role"]) if found else None

    def change(self, member_id: str, role: str) -> None:
        assert self.shared.owner("PATCH", f"{self.path(member_id)}", {"role": role}).status == 200

    def path(self, member_id: str) -> str:
        return f"{self.shared.path}/members/{member_id}"

    def listed(self) -> list[tuple[Any, ...]]:
        """Members as the owner sees them."""
        items = self.shared.owner.items(f"{self.shared.path}/members")
        return [(one["id"], one["user_id"], one["email"], one["role"]) for one in items]


@pytest.fixture
def twice(files_api: Api, owner: Api) -> Twice:
    shared, email = new_shared(owner), f"{uuid4()}@example.org"
    member = new_member(files_api, email=email)
    by_id = shared.put(user_id=member.user_id, role="viewer").json["id"]
    return Twice(shared, member, by_id, shared.put(email=email, role="editor").json["id"], email)


def test_the_last_word_on_either_counts(twice: Twice) -> None:
    assert twice.role() == "editor"
    twice.change(twice.by_id, "viewer")
    assert twice.role() == "viewer", "the address was an editor's, and no word on it came since"
    twice.change(twice.by_mail, "editor")
    assert twice.role() == "editor"
    twice.shared.put(user_id=twice.member.user_id, role="viewer")
    assert twice.role() == "viewer"


@pytest.mark.parametrize("removed", ["by_id", "by_mail"])
def test_both_end_together_and_the_other_stays_listed_until_it_is_named_again(twice: Twice, removed: str) -> None:
    other = twice.by_mail if removed == "by_id" else twice.by_id
    before = twice.listed()
    assert twice.shared.owner("DELETE", twice.path(getattr(twice, removed))).status == 204
    assert twice.role() is None
    assert twice.listed() == [one for one in before if one[0] == other], "else it would tell whose the address is"
    if removed == "by_id":
        assert twice.shared.put(email=twice.email, role="viewer").status == 200
    else:
        twice.change(other, "viewer")
    assert twice.role() == "viewer"


def test_a_member_who_leaves_has_left_under_both_names(twice: Twice) -> None:
    assert twice.member("DELETE", f"{twice.path('me')}?owner_id={twice.shared.owner.user_id}").status == 204
    assert (twice.role(), twice.listed()) == (None, [])


def test_words_on_both_names_at_once_leave_one_of_them(twice: Twice) -> None:
    for _ in range(5):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(twice.change, (twice.by_id, twice.by_mail), ("viewer", "editor")))
        assert twice.role() in ("viewer", "editor")
        with ThreadPoolExecutor(2) as pool:
            removed = pool.submit(twice.shared.owner, "DELETE", twice.path(twice.by_id))
            named = pool.submit(twice.shared.put, email=twice.email, role="editor")
            assert (removed.result().status, named.result().status) == (204, 200)
        assert twice.role() in (None, "editor"), "whichever came last"
        twice.by_id = twice.shared.put(user_id=twice.member.user_id, role="viewer").json["id"]
        assert twice.role() == "viewer"
