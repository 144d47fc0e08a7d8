"""The order of a key's changes is total, and is S3's where S3 says one."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.catalog.changes import Kind, rank, rank_after
from tests.support.notifications import NOON

sequencers = st.text("0123456789ABCDEFabcdef", max_size=20)
times = st.datetimes(datetime(2006, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(sequencers, sequencers, times, times)
def test_sequencers_decide_the_order_whatever_the_times(
    first: str, second: str, early: datetime, late: datetime
) -> None:
    padded = [text.upper().ljust(64, "0") for text in (first, second)]
    ranks = [rank(first, early, Kind.PUT), rank(second, late, Kind.PUT)]
    if padded[0] != padded[1]:
        assert (ranks[0] < ranks[1]) == (padded[0] < padded[1])


@given(sequencers, times, times)
def test_the_event_time_decides_between_equal_sequencers(sequencer: str, first: datetime, second: datetime) -> None:
    assert (rank(sequencer, first, Kind.PUT) < rank(sequencer, second, Kind.PUT)) == (first < second)


def test_a_removal_comes_before_a_put_of_the_same_instant() -> None:
    assert rank("01", NOON, Kind.REMOVAL) < rank("01", NOON, Kind.PURGE) < rank("01", NOON, Kind.PUT)


def test_the_payload_decides_between_equal_times() -> None:
    assert rank("01", NOON, Kind.PUT, "a") < rank("01", NOON, Kind.PUT, "b")
    assert rank("01", NOON, Kind.PUT, "a", 1) != rank("01", NOON, Kind.PUT, "a", 2)


def test_a_change_without_a_sequencer_ranks_below_any_with_one() -> None:
    assert rank("", NOON + timedelta(days=999), Kind.PUT) < rank("00000001", NOON, Kind.PUT)


@given(sequencers, sequencers, times, times)
def test_an_observation_ranks_after_what_it_follows_and_before_any_later_event(
    earlier: str, later: str, early: datetime, late: datetime
) -> None:
    first, second = rank(earlier, early, Kind.PUT, "e"), rank(later, late, Kind.PUT, "e")
    assert rank_after(first) > first
    if first < second:
        assert first < rank_after(first) < second or early == late


def test_an_observation_that_follows_nothing_ranks_below_every_event() -> None:
    assert rank_after("") < rank("00", None, Kind.REMOVAL) or rank_after("") < rank("01", NOON, Kind.REMOVAL)
