"""UUIDv7: ids that sort by time."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from chalicelib.ids import first_uuid7, moment_of, uuid7, uuid7_texts
from tests.support.notifications import NOON


def test_an_id_is_a_version_7_uuid_of_its_moment() -> None:
    made = uuid7(NOON + timedelta(milliseconds=7))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert moment_of(made) == NOON + timedelta(milliseconds=7)


def test_an_id_equals_the_example_of_the_rfc() -> None:
    # RFC 9562, appendix A.6
    randomness = (0xCC3 << 62 | 0x18C4DC0C0C07398F).to_bytes(10)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=0x017F22E279B0)
    assert str(uuid7(moment, randomness)) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_ids_sort_by_time_and_a_range_of_times_is_a_range_of_ids() -> None:
    later = NOON + timedelta(milliseconds=1)
    assert first_uuid7(NOON) <= uuid7(NOON) < first_uuid7(later) <= uuid7(later)


def test_ids_made_at_once_are_version_7_uuids_of_their_moment() -> None:
    made = [UUID(text) for text in uuid7_texts(NOON, 100)]
    assert len(set(made)) == 100
    assert all((one.version, one.variant, moment_of(one)) == (7, "specified in RFC 4122", NOON) for one in made)


def test_ids_of_one_moment_differ() -> None:
    assert len({uuid7(NOON) for _ in range(1000)}) == 1000
