"""Which release a stage goes back to."""

import pytest

from deploy.releases import Release, before


def _history(text: str) -> list[Release]:
    """``"a b -a c"``: a, then b, then back to a, then c."""
    return [Release("stack", name.lstrip("-"), "0001", "", name.startswith("-")) for name in text.split()]


@pytest.mark.parametrize(
    ("history", "expected"),
    [("", None), ("a", None), ("a b", "a"), ("a b c", "b"), ("a b -a", None), ("a b c -b", "a"), ("a b -a c", "a"),
     ("a b c -b -a d", "a")],
)  # fmt: skip
def test_a_rollback_goes_to_the_release_before_and_never_to_an_abandoned_one(
    history: str, expected: str | None
) -> None:
    found = before(_history(history))
    assert (found.template_url if found else None) == expected
