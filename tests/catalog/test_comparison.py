"""Comparing a listing with the catalogue's versions: what differs, and where it ranks."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from chalicelib.catalog.changes import Kind, rank
from chalicelib.catalog.comparison import KnownVersion, by_version, compare
from chalicelib.catalog.objects import ListedVersion, Location
from tests.support.notifications import NOON

HERE = Location("bucket", "key")


def listed(version_id: str, at: int = 0, *, etag: str = "e", is_marker: bool = False) -> ListedVersion:
    """A version that was put so many milliseconds after noon."""
    moment = NOON + timedelta(milliseconds=at)
    size, etag = (None, "") if is_marker else (1, etag)
    return ListedVersion("key", version_id, is_marker, False, moment, size, etag)


def known(version_id: str, put_rank: str, *, alive: bool = True, etag: str = "e", at: int = 0) -> KnownVersion:
    moment = NOON + timedelta(milliseconds=at)
    return KnownVersion(version_id, put_rank, "" if alive else f"{put_rank}~", alive, False, 1, etag, moment)


def clock(moment: datetime) -> str:
    """A sequencer that is a clock of nanoseconds, as MinIO's."""
    return f"{int(moment.timestamp() * 10**6) * 1000:016X}"


def test_what_both_know_is_no_difference() -> None:
    rows = by_version([known("one", "1"), known("two", "2")])
    assert compare(HERE, [listed("one"), listed("two", 1)], rows) == ([], [], [])


def test_nothing_is_compared_with_nothing() -> None:
    assert compare(HERE, [], {}) == ([], [], [])


def test_a_version_that_is_not_known_ranks_between_its_neighbours() -> None:
    rows = by_version([known("one", "1!"), known("three", "3!")])

    (change,), unlisted, _ = compare(HERE, [listed("one"), listed("two", 1), listed("three", 2)], rows)

    assert (change.kind, change.version_id, change.follows, change.is_observation) == (Kind.PUT, "two", "one", True)
    assert "1!" < change.rank < "3!"
    assert unlisted == []


def test_the_first_version_that_is_not_known_ranks_by_its_time_below_any_event() -> None:
    (change,), *_ = compare(HERE, [listed("one"), listed("two", 1)], by_version([known("two", "2!")]))
    assert (change.version_id, change.follows) == ("one", None)
    assert change.rank < "2!"


def test_with_a_clock_it_ranks_where_its_own_event_would() -> None:
    (change,), *_ = compare(HERE, [listed("one", 5)], {}, clock)
    before, after = (rank(clock(NOON + timedelta(milliseconds=at)), NOON, Kind.PUT, "e", 1) for at in (5, 6))
    assert before < change.rank < after


def test_a_delete_marker_that_is_not_known_is_one() -> None:
    (change,), *_ = compare(HERE, [listed("one"), listed("m", 1, is_marker=True)], by_version([known("one", "1!")]))
    assert (change.kind, change.version_id, change.size, change.etag) == (Kind.MARKER, "m", None, "")


def test_what_was_listed_last_is_current_whatever_its_rank_was() -> None:
    """As when two clients put at once, and their events are numbered in another order than S3 took the objects."""
    rows = by_version([known("one", "9!"), known("two", "2!")])
    (change,), *_ = compare(HERE, [listed("one"), listed("two", 1)], rows)
    assert change.version_id == "two"
    assert change.rank > "9!"


@pytest.mark.parametrize("sequencer_at", [None, clock])
def test_every_further_version_ranks_above_the_one_before(sequencer_at: Callable[[datetime], str] | None) -> None:
    history = [listed(f"v{number}", number // 3) for number in range(2000)]
    changes, *_ = compare(HERE, history, {}, sequencer_at)
    ranks = [change.rank for change in changes]
    assert ranks == sorted(set(ranks))
    assert len(ranks) == 2000


def test_what_is_not_listed_may_be_gone() -> None:
    rows = by_version([known("one", "1!"), known("two", "2!"), known("gone", "3!", alive=False), known("*", "")])
    assert compare(HERE, [listed("one")], rows) == ([], [rows["two"]], [])


def test_a_version_that_is_known_to_be_removed_does_not_come_back() -> None:
    row = known("one", "1!", alive=False)
    assert compare(HERE, [listed("one")], by_version([row])) == ([], [], [row])


# --- objects without version ids


def test_another_object_without_version_ids_is_a_difference() -> None:
    rows = by_version([known("", "1!", etag="old")])
    (change,), unlisted, _ = compare(HERE, [listed("", 1, etag="new")], rows)
    assert (change.etag, change.version_id, unlisted) == ("new", "", [])
    assert change.rank > "1!"


def test_an_object_that_was_removed_and_put_again_ranks_above_its_removal() -> None:
    row = known("", "1!", alive=False)
    (change,), *_ = compare(HERE, [listed("", 1)], by_version([row]))
    assert change.rank > row.removal_rank


def test_an_object_that_is_known_to_be_newer_than_the_listing_stays() -> None:
    rows = by_version([known("", "2!", etag="new", at=2)])
    assert compare(HERE, [listed("", 1, etag="old")], rows) == ([], [], [])


def test_a_null_delete_marker_in_place_of_an_object_is_a_difference() -> None:
    rows = by_version([known("one", "1!"), known("", "2!", at=2)])
    (change,), *_ = compare(HERE, [listed("one"), listed("", 3, is_marker=True)], rows)
    assert (change.kind, change.version_id) == (Kind.MARKER, "")
    assert change.rank > "2!"


@pytest.mark.parametrize("wrong", [{"size": 2}, {"etag": "other"}, {"is_delete_marker": True}])
def test_a_version_that_was_recorded_wrongly_is_a_difference(wrong: dict[str, object]) -> None:
    row = replace(known("one", "1!"), **wrong)  # type: ignore[arg-type]
    (change,), *_ = compare(HERE, [listed("one")], by_version([row]))
    assert (change.version_id, change.size, change.etag, change.kind) == ("one", 1, "e", Kind.PUT)
    assert "1!" < change.rank < "2!"


def test_what_an_emitter_left_out_is_no_difference() -> None:
    row = replace(known("one", "1!"), size=None, etag=None)
    assert compare(HERE, [listed("one")], by_version([row])) == ([], [], [])
