"""Texts between two others: always between, and soon near to any key."""

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.services.truth.guessing import between

_texts = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), max_size=8)


@given(_texts, st.one_of(st.none(), _texts))
def test_what_is_guessed_lies_between(low: str, high: str | None) -> None:
    if high is not None and high <= low:
        return
    middle = between(low, high)
    if middle is not None:
        assert low < middle
        assert high is None or middle < high


@given(st.lists(st.text("abcdefghij/0123456789", min_size=1, max_size=12), min_size=1, unique=True))
def test_the_last_key_is_found_by_few_probes(keys: list[str]) -> None:
    last, high, probes = max(keys), None, 0
    while (middle := between("", high)) is not None and not last > middle:
        high, probes = middle, probes + 1
    assert middle is not None
    assert probes <= 8 * 12
