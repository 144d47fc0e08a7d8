"""The page of figures: what is measured alone replaces its own section, and the others stay."""

from pathlib import Path

import pytest

from bench import report
from bench.figures import Figure, Note

LISTS = Figure("Lists", "first page", "1 ms", "statement", "2 ms", 0.5)
PEER = Figure("The peer", "upload", "3 ms", "peer", "6 ms", 0.5)


@pytest.fixture(autouse=True)
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "_DOCS", tmp_path)
    return tmp_path


def test_a_suite_measured_alone_adds_its_section_with_its_date() -> None:
    before = report.write([LISTS], 2).read_text()
    after = report.write_alone([PEER, Note("The peer", "Loaded machine.")]).read_text()
    assert after.startswith(before)
    assert (
        after.index("## The peer")
        < after.index("Measured alone on 20")
        < after.index("Loaded machine.")
        < after.index("| upload |")
    )


def test_a_suite_measured_alone_again_replaces_only_its_section() -> None:
    report.write([LISTS], 2)
    first = report.write_alone([PEER]).read_text()
    again = report.write_alone([Figure("Lists", "second page", "1 ms")]).read_text()
    assert "first page" not in again
    assert "second page" in again
    assert again.endswith(first[first.index("\n## The peer") :])


def test_a_run_of_all_keeps_what_was_measured_alone_and_could_not_be_this_time() -> None:
    report.write([LISTS, Figure("Gone", "suite", "1 ms")], 2)
    report.write_alone([PEER])
    page = report.write([LISTS], 2).read_text()
    assert "## Gone" not in page
    assert "| upload |" in page


def test_a_run_of_all_replaces_what_was_measured_alone() -> None:
    report.write([LISTS], 2)
    report.write_alone([PEER])
    page = report.write([LISTS, PEER], 2).read_text()
    assert page.count("## The peer") == 1
    assert "Measured alone" not in page


def test_the_page_as_it_is_survives_being_read_and_written(docs: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    (docs / "performance.md").write_text(text)
    again = report.write_alone([]).read_text()
    assert again == text
