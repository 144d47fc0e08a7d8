"""What the comparison of a page reads of the catalogue: its own keys, however many come after it."""

from collections.abc import Callable
from datetime import UTC, datetime

from chalicelib.catalog.objects import ListedVersion
from chalicelib.db.comparing import Keys, find_differing, known_keys, take_snapshot
from chalicelib.db.engine import Session, create_catalog_engine
from tests.support.notifications import body, s3_record
from tests.support.pages_read import hold_still, pages_of
from tests.support.recording import deliver_messages

_AT = datetime(2026, 11, 29, 12, tzinfo=UTC)


def listed(number: int) -> tuple[ListedVersion, int]:
    return ListedVersion(f"a/{number:05}", f"{number:032x}", False, True, _AT, 1, "e"), 1


def test_a_page_is_compared_with_its_own_keys_only(new_migrated_database: Callable[[], str]) -> None:
    engine = create_catalog_engine(new_migrated_database())
    for first in range(0, 5000, 1000):
        told = [
            s3_record(
                "ObjectCreated:Put",
                f"a/{number:05}",
                version_id=f"{number:032x}",
                size=1,
                etag="e",
                bucket="b",
                time=_AT,
            )
            for number in range(first, first + 1000)
        ]
        deliver_messages(engine, [body(*told)])
    hold_still(engine, "object_versions")

    def compare(prefix: str, until: str | None) -> Callable[[Session], object]:
        """A page of ten keys, of which the first differs."""
        page = [listed(number) for number in range(1, 10)]

        def ask(session: Session) -> None:
            differing = find_differing(session, Keys("b", prefix, "", until), page)
            assert differing[:1] == ["a/00000"]
            known_keys(session, "b", differing[:1], take_snapshot(session))

        return ask

    whole = pages_of(engine, compare("", None), "object_versions")
    page, folder = (pages_of(engine, compare(*what), "object_versions") for what in (("", "a/00009"), ("a/0000", None)))
    engine.dispose()
    assert page < 20 < 100 < whole
    assert folder < 20
