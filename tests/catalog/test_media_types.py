"""Whether bytes are of another type than declared."""

import pytest

from chalicelib.catalog.media_types import disagree, is_allowed


@pytest.mark.parametrize(
    ("declared", "detected", "is_mismatch"),
    [
        ("image/png", "application/vnd.microsoft.portable-executable", True),
        ("image/png", "image/jpeg", True),
        ("application/pdf", "text/plain", True),
        ("text/html", "text/plain", False),
        ("application/json; charset=utf-8", "text/plain", False),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip", False),
        ("image/jpg", "image/jpeg", False),
        ("audio/webm", "video/webm", False),
        ("application/octet-stream", "application/zip", False),
        (None, "image/png", False),
        ("image/png", None, False),
    ],
)
def test_only_contradictions_are_mismatches(declared: str | None, detected: str | None, is_mismatch: bool) -> None:
    assert disagree(declared, detected) is is_mismatch


@pytest.mark.parametrize(
    ("media_type", "allowed", "is_one"),
    [
        ("image/png", ["image/*"], True),
        ("Image/PNG; a=b", ["image/png"], True),
        ("video/webm;codecs=vp8,opus", ["video/webm"], True),
        ("text/html", ["image/*"], False),
        ("image/png, text/html", ["image/*", "image/png"], False),
        ("image/png, text/html", ["*/*"], True),
    ],
)
def test_a_text_that_is_no_type_is_of_no_family(media_type: str, allowed: list[str], is_one: bool) -> None:
    assert is_allowed(media_type, allowed) is is_one
