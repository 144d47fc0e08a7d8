"""What a browser is told of a download: nothing that it would run."""

import pytest

from chalicelib.store.response_headers import response_headers

UNKNOWN = "application/octet-stream"


@pytest.mark.parametrize(
    ("media_type", "told", "kind"),
    [
        ("image/png", "image/png", "inline"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8", "inline"),
        ("video/webm;codecs=vp8,opus", "video/webm", "inline"),
        ("text/html", "text/html", "attachment"),
        ("image/svg+xml", "image/svg+xml", "attachment"),
        # A browser takes the last type of several: https://fetch.spec.whatwg.org/#concept-header-extract-mime-type.
        ("image/png;,text/html", "image/png", "inline"),
        ("image/png; a=b, text/html", "image/png", "inline"),
        ("image/png, text/html", UNKNOWN, "attachment"),
        ("image/png,text/html", UNKNOWN, "attachment"),
        ("image/png text/html", UNKNOWN, "attachment"),
        ("image/\u00a0png", UNKNOWN, "attachment"),
        ("image/", UNKNOWN, "attachment"),
        ("image", UNKNOWN, "attachment"),
        ("", UNKNOWN, "attachment"),
        (None, UNKNOWN, "attachment"),
    ],
)
def test_a_browser_is_told_one_type_and_shows_none_that_it_would_run(
    media_type: str | None, told: str, kind: str
) -> None:
    found = response_headers("a", media_type, inline=True)
    assert found["response-content-type"] == told
    assert found["response-content-disposition"].startswith(f"{kind};")
    assert response_headers("a", media_type, inline=False)["response-content-disposition"].startswith("attachment;")
