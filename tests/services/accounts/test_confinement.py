"""Where new things may be put with an API key for a part of what a user owns."""

from uuid import uuid4

import pytest

from chalicelib.errors import Forbidden
from chalicelib.services.accounts.confinement import check_new_key, key_of_new, session_of_new
from chalicelib.services.accounts.principals import Principal

USER = uuid4()
OWN = f"{USER}/"


def test_without_a_part_a_member_puts_things_below_its_id() -> None:
    member = Principal(USER, "member")
    file_id = uuid4()
    assert key_of_new(member, file_id, "a.txt") == f"{OWN}{file_id}/a.txt"
    check_new_key(member, f"{OWN}x")
    check_new_key(Principal(USER, "operator"), "anywhere")
    with pytest.raises(Forbidden, match="begin with its own id"):
        check_new_key(member, "anywhere")
    assert session_of_new(member, None) is None
    assert session_of_new(member, "any") == "any"


def test_with_a_prefix_things_go_below_it() -> None:
    machine = Principal(USER, "member", prefix=f"{OWN}in/")
    file_id = uuid4()
    assert key_of_new(machine, file_id, "a.txt") == f"{OWN}in/{file_id}/a.txt"
    check_new_key(machine, f"{OWN}in/x")
    for key in (f"{OWN}out/x", f"{OWN}in", "in/x"):
        with pytest.raises(Forbidden):
            check_new_key(machine, key)


def test_a_folder_begins_after_a_prefix_that_ends_in_a_word() -> None:
    file_id = uuid4()
    assert key_of_new(Principal(USER, "member", prefix=f"{OWN}in"), file_id, "a") == f"{OWN}in/{file_id}/a"


def test_the_longest_prefix_leaves_room_for_the_longest_name() -> None:
    prefix = OWN + "x" * (512 - len(OWN))
    assert len(key_of_new(Principal(USER, "member", prefix=prefix), uuid4(), "n" * 500)) <= 1024


def test_a_session_key_puts_things_into_its_session() -> None:
    machine = Principal(USER, "member", session_id="one")
    assert session_of_new(machine, None) == session_of_new(machine, "one") == "one"
    with pytest.raises(Forbidden, match="the session one alone"):
        session_of_new(machine, "two")
