"""What a metadata filter's value is taken for."""

import pytest

from chalicelib.catalog.metadata_filters import parse_filter


@pytest.mark.parametrize(
    ("value", "is_text"),
    [("400", False), ("-1.5e3", False), ("1\u0662", True), ("\uff14\uff10\uff10", True), ("01", True), ("1_0", True)],
)
def test_only_what_json_takes_for_a_number_is_compared_as_one(value: str, is_text: bool) -> None:
    assert (f"@ == {value}" not in parse_filter("metadata.iso", value).path) is is_text
    assert (f"@ >= {value}" not in parse_filter("metadata.iso:gte", value).path) is is_text


def test_a_time_in_other_scripts_is_a_text() -> None:
    assert "timestamp" in parse_filter("metadata.taken:gte", "2026-05-01").path
    assert "timestamp" not in parse_filter("metadata.taken:gte", "\u0662\u0660\u0662\u0666-05-01").path
