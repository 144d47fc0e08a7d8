"""Which pages may read the API's answers: by the setting, in answers of every kind."""

import pytest

from chalicelib import runtime
from tests.support import gateway

_PAGES = ("https://a.example", "https://b.example")


@pytest.fixture
def _limited(monkeypatch: pytest.MonkeyPatch) -> None:
    options = runtime.settings().model_copy(update={"origins": _PAGES})
    monkeypatch.setattr(runtime, "settings", lambda: options)


def _answer(method: str, path: str, origin: str | None) -> dict[str, str]:
    headers = {"Host": "h", **({"Origin": origin} if origin else {})}
    sent = gateway.send(method, path, headers=headers, pathParameters={"segment1": "nothing"})
    return {name.lower(): str(value) for name, value in sent["headers"].items()}


@pytest.mark.parametrize("path", ["/health", "/{segment1}"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.usefixtures("_limited")
def test_an_answer_names_the_page_it_is_for_and_no_other(method: str, path: str) -> None:
    for page in _PAGES:
        headers = _answer(method, path, page)
        assert (headers["access-control-allow-origin"], headers["vary"]) == (page, "Origin")
    for stranger in (
        "https://c.example",
        "https://a.example.evil.example",
        "https://a.example,https://b.example",
        None,
    ):
        headers = _answer(method, path, stranger)
        assert "access-control-allow-origin" not in headers
        assert headers["vary"] == "Origin"


def test_without_a_limit_an_answer_is_for_every_page() -> None:
    headers = _answer("GET", "/health", "https://c.example")
    assert headers["access-control-allow-origin"] == "*"
    assert "vary" not in headers
