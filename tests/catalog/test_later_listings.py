"""An object without a version id that differs from what is known: whether the listing or the catalogue is later decides."""

from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.catalog.comparison import KnownVersion, compare, contradicts
from chalicelib.catalog.objects import ListedVersion, Location

SECOND = datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)  # listings of S3 tell whole seconds
KNOWN = KnownVersion("", "0A", "", True, False, 1, "known", SECOND + timedelta(milliseconds=300))


def listed(etag: str, modified: datetime) -> ListedVersion:
    return ListedVersion("k", "", False, True, modified, 1, etag)


@pytest.mark.parametrize("modified", [SECOND, SECOND - timedelta(hours=1), SECOND + timedelta(seconds=1)])
def test_a_later_listing_is_right_whatever_the_times_say(modified: datetime) -> None:
    """Two puts in one second, the second of which nobody told of; a multipart upload that was begun long before."""
    found = compare(Location("b", "k"), [listed("other", modified)], {"": KNOWN}, is_later=True)
    ((change,), unlisted, revived) = found
    assert (change.etag, unlisted, revived) == ("other", [], [])
    assert change.rank > KNOWN.put_rank


def test_a_listing_that_may_be_earlier_doesn_t_take_back_what_is_known() -> None:
    assert compare(Location("b", "k"), [listed("other", SECOND)], {"": KNOWN}).changes == []
    assert len(compare(Location("b", "k"), [listed("other", SECOND + timedelta(seconds=1))], {"": KNOWN}).changes) == 1


@pytest.mark.parametrize("is_later", [True, False])
def test_the_same_object_is_no_difference(is_later: bool) -> None:
    assert compare(Location("b", "k"), [listed("known", SECOND)], {"": KNOWN}, is_later=is_later).changes == []


def test_an_older_object_than_the_known_one_is_to_be_asked_for() -> None:
    def differing(modified: datetime) -> bool:
        found = compare(Location("b", "k"), [listed("other", modified)], {"": KNOWN}, is_later=True)
        return contradicts(found.changes[0], {"": KNOWN})

    assert (differing(SECOND), differing(SECOND + timedelta(seconds=1))) == (True, False)
