"""The peer of `python -m bench peer`: where there is none, the suite says why, and measures nothing."""

from pathlib import Path

import pytest

from bench import peer
from bench.peer_stack import FOLDER_VARIABLE


def test_without_a_folder_the_peer_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    assert list(peer.run()) == []
    assert f"left out: {FOLDER_VARIABLE} names no folder" in capsys.readouterr().out


def test_a_folder_that_was_not_built_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert list(peer.run()) == []
    assert "is not built there" in capsys.readouterr().out
