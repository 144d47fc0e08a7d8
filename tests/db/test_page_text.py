"""The text that Postgres writes of a file is what the response schema would write, whatever is in the row."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import TypeAdapter
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from chalicelib.api.schemas.files import FileOut
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.file_filters import FileFilters
from chalicelib.db.file_lists import SORTS, list_files
from chalicelib.db.models import File
from chalicelib.db.scope import EVERYONE

# Quotes, backslashes, controls, letters of every plane, line separators that JavaScript knows, and what only looks like JSON.
TEXTS = [
    '"',
    "\\",
    '\\"',
    "'",
    "\u0001\t\n\x7f",
    "é",
    "\U0001f389",
    "\u2028\u2029",
    "</script>",
    "null",
    "{}",
    "%s :x $1",
    " ",
]
TIMES = [
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4, 5, 1, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4, 5, 120_000, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]
METADATA: list[dict[str, Any]] = [
    {},
    {"": "", "b": 1, "a": None, 'é"': [True, False, {}], "nested": {"z": [], "y": {"x": "\u2028"}}},
    {"big": 2**63 - 1, "small": -(2**63), "float": 0.1, "zero": 0, "negative": -1.5},
]


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    """A transaction that is undone."""
    engine = create_catalog_engine(database_url)
    with pytest.raises(ZeroDivisionError), transaction(engine) as session:
        yield session
        raise ZeroDivisionError
    engine.dispose()


def rows() -> Iterator[dict[str, Any]]:
    for number in range(60):
        word, moment = TEXTS[number % len(TEXTS)], TIMES[number % len(TIMES)]
        stored: dict[str, Any] = {"state": "pending"}
        if number % 3:
            stored = {"state": "stored", "version_id": word, "size": [0, 2**63 - 1, 1][number % 3], "etag": word}
            stored |= {"media_type": word, "sha256": word, "stored_at": moment}
        yield {
            "id": UUID(int=(7 << 76) + (2 << 62) + number),
            "bucket": f"page-text-{word}",
            "key": f"{word}{number}",
            "name": word,
            "version_id": None,
            "size": None,
            "etag": None,
            "media_type": None,
            "sha256": None,
            "stored_at": None,
            "detected_media_type": [None, word][number % 2],
            "is_mismatch": number % 2 == 0,
            "metadata_": METADATA[number % len(METADATA)],
            "tags": [[], [word], TEXTS][number % 3],
            "created_at": moment,
            "updated_at": moment,
            **stored,
        }


@pytest.mark.parametrize("sort", SORTS)
def test_a_listed_file_is_written_as_the_schema_would_write_it(session: Session, sort: str) -> None:
    session.execute(insert(File), list(rows()))
    ours = select(File).where(File.bucket.startswith("page-text-"))
    expected = {str(file.id): written_by_the_schema(file) for file in session.scalars(ours)}

    listed, cursor = [], None
    while True:
        page = list_files(session, EVERYONE, FileFilters(state="any"), sort, 7, cursor)
        listed += [file for file in parsed(page.items) if dict(file)["bucket"].startswith("page-text-")]
        if (cursor := page.next_cursor) is None:
            break

    assert {dict(file)["id"]: file for file in listed} == expected
    assert len(listed) == len(expected)


def written_by_the_schema(file: File) -> Any:
    values = {name: getattr(file, {"metadata": "metadata_"}.get(name, name)) for name in FileOut.model_fields}
    adapter = TypeAdapter(FileOut)
    return parsed(adapter.dump_json(adapter.validate_python(values)))


def parsed(document: str | bytes) -> Any:
    """All but the blanks between tokens: members in their order, and numbers as they are written."""
    return json.loads(document, object_pairs_hook=list, parse_int=str, parse_float=str)
