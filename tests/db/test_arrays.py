"""Array literals: Postgres reads back exactly what was written."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from chalicelib.db.arrays import exceptions, plain, rare_texts, texts, unusual
from chalicelib.db.engine import create_catalog_engine

# Whatever a PostgreSQL text can hold.
_ANYTHING = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
_HOSTILE = ["", "NULL", "null", ",", "{", "}", '"', "\\", '\\"', " ", "\n", "a,b", '{"a"}', "'", "%s", ":x", "😀", "ü"]
_READ = text("SELECT json_agg(t) FROM unnest(CAST(:values AS text[])) AS t")


@pytest.fixture(scope="module")
def connection(database_url: str) -> Iterator[Connection]:
    engine = create_catalog_engine(database_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@given(values=st.lists(_ANYTHING | st.sampled_from(_HOSTILE)))
def test_any_texts_come_back(connection: Connection, values: Sequence[str]) -> None:
    assert (connection.execute(_READ, {"values": texts(values)}).scalar_one() or []) == values


@given(values=st.lists(st.none() | st.sampled_from(_HOSTILE)))
def test_absent_texts_are_null_and_a_column_without_any_text_is_empty(
    connection: Connection, values: Sequence[str | None]
) -> None:
    found = connection.execute(_READ, {"values": rare_texts(values)}).scalar_one() or []
    assert found == (values if any(value is not None for value in values) else [])


def test_values_that_need_no_quotes_are_written_as_they_are() -> None:
    assert plain([1, None, True, "2026-01-01T00:00:00+00:00"]) == "{1,NULL,True,2026-01-01T00:00:00+00:00}"
    assert plain([]) == "{}"


@pytest.mark.parametrize("values", [["a\x00b"], ["\x00", "a"], ["a", "\x00"]])
def test_a_text_with_a_nul_is_refused_rather_than_taken_for_two(values: list[str]) -> None:
    with pytest.raises(ValueError, match="NUL"):
        texts(values)
    with pytest.raises(ValueError, match="NUL"):
        rare_texts(values)


@pytest.mark.parametrize("values", [["put"], ["put", "put"], ["put", "NULL"], ["", "x"], []])
def test_a_column_of_the_usual_value_alone_is_empty(connection: Connection, values: list[str]) -> None:
    literal = unusual(values, "put")
    read = connection.execute(_READ, {"values": literal}).scalar_one() or []
    assert read == ([] if set(values) <= {"put"} else values)


@pytest.mark.parametrize(
    ("values", "literal"), [([True, True], "{}"), ([], "{}"), ([True, False], "{True,False}"), ([False], "{False}")]
)
def test_truth_values_are_left_out_if_all_are_true(values: list[bool], literal: str) -> None:
    assert exceptions(values) == literal
