"""A session that is shared with an address is shared with whoever has it, and with nobody who had it before."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.support.api import Api
from tests.support.sharing import Shared, new_shared
from tests.support.users import new_member


@pytest.fixture
def shared(owner: Api) -> Shared:
    return new_shared(owner)


@pytest.fixture
def email() -> str:
    return f"{uuid4()}@example.org"


@pytest.fixture
def holder(files_api: Api, shared: Shared, email: str) -> Api:
    """Who has the address, and is a viewer by it."""
    holder = new_member(files_api, email=email)
    shared.put(email=email, role="viewer")
    assert role(holder) == "viewer"
    return holder


def role(member: Api) -> str | None:
    """A member's role in the only session that is shared with it; None: none is."""
    found = member.items("/api/sessions?shared=true")
    return str(found[0]["role"]) if found else None


def give(operator: Api, member: Api, email: str | None) -> None:
    answer = operator("PATCH", f"/api/users/{member.user_id}", {"email": email})
    assert answer.status == 200, answer.body


def listed(shared: Shared) -> list[tuple[object, ...]]:
    """Members as the owner sees them."""
    return [(one["user_id"], one["email"], one["role"]) for one in shared.owner.items(f"{shared.path}/members")]


@pytest.mark.parametrize("after", [None, "elsewhere"])
def test_who_loses_an_address_is_no_member_by_it_any_more(
    files_api: Api, shared: Shared, holder: Api, email: str, after: str | None
) -> None:
    before = listed(shared)
    give(files_api, holder, after and f"{after}-{email}")
    assert role(holder) is None
    assert holder("GET", f"/api/files/{shared.file['id']}").status == 404
    assert listed(shared) == before == [(None, email, "viewer")], "or the list would tell whose the address was"
    give(files_api, holder, email)
    assert role(holder) == "viewer"


def test_who_gets_the_address_next_is_let_in_and_nobody_else(
    files_api: Api, shared: Shared, holder: Api, email: str
) -> None:
    give(files_api, holder, f"left-{email}")
    next_one = new_member(files_api, email=email.upper())
    assert (role(holder), role(next_one)) == (None, "viewer")
    assert shared.put(email=email, role="editor").status == 200
    assert (role(holder), role(next_one)) == (None, "editor")
    give(files_api, next_one, None)
    third = new_member(files_api)
    give(files_api, third, email)
    assert (role(holder), role(next_one), role(third)) == (None, None, "editor")


def test_other_names_and_other_letters_of_the_address_change_nothing(
    files_api: Api, shared: Shared, holder: Api, email: str
) -> None:
    other = new_shared(new_member(files_api))
    other.share(holder, "editor")
    give(files_api, holder, email.upper())
    assert sorted(one["role"] for one in holder.items("/api/sessions?shared=true")) == ["editor", "viewer"]
    give(files_api, holder, None)
    assert role(holder) == "editor", "by its id"


def test_who_was_removed_does_not_come_back_with_the_address(
    files_api: Api, shared: Shared, holder: Api, email: str
) -> None:
    by_id = shared.share(holder, "editor")
    assert shared.owner("DELETE", f"{shared.path}/members/{by_id}").status == 204
    assert role(holder) is None
    give(files_api, holder, None)
    give(files_api, holder, email)
    assert role(holder) is None
    shared.put(email=email, role="viewer")
    assert role(holder) == "viewer"


def test_an_address_that_is_named_while_it_changes_hands_is_its_new_holders(
    files_api: Api, shared: Shared, holder: Api, email: str
) -> None:
    before = holder
    for _ in range(6):
        after = new_member(files_api)

        def change(before: Api = before, after: Api = after) -> None:
            give(files_api, before, None)
            give(files_api, after, email)

        with ThreadPoolExecutor(4) as pool:
            changed = pool.submit(change)
            named = [pool.submit(shared.put, email=email, role="editor") for _ in range(8)]
            changed.result()
            assert {one.result().status for one in named} == {200}
        assert (role(before), role(after)) == (None, "editor")
        before = after
