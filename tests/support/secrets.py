"""Secrets that tests make, and whether a log holds one: none may, in the whole suite (see tests/conftest.py)."""

from collections.abc import Iterable
from pathlib import Path

_MARKED: set[str] = set()
_LOGS: list[Path] = []


def secret(text: str) -> str:
    """Mark a text as one that no log may hold; returns it."""
    _MARKED.add(text)
    return text


def watch_log(log: Path) -> None:
    """Have a server's log looked at when the suite ends."""
    _LOGS.append(log)


def secrets_in(text: str) -> list[str]:
    """The beginnings of marked secrets that a text holds."""
    return [f"{one[:12]}…" for one in _MARKED if one in text]


def leaks_in_logs() -> Iterable[str]:
    """What the watched logs hold that they mustn't."""
    for log in _LOGS:
        for found in secrets_in(log.read_text(errors="replace")) if log.exists() else ():
            yield f"{log}: {found}"
