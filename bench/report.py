"""Writes what was measured: a table and plots into ``docs/performance.md``."""

import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Figure, Note

_DOCS = Path(__file__).parent.parent / "docs"
_HEAD = """# Performance

Written by `make bench` on {date}: {machine}, {cores} cores, Python {python}. Each ratio is against the named baseline, run in
turn with it in the same run; absolute times are this machine's and vary by tens of per cent. Medians throughout.
"""


_ALONE = "Measured alone on "


def write(measured: Sequence[Figure | Note], cores: int) -> Path:
    """Write the page and its plots; returns the page's path. Sections that were measured alone, and not this time, stay."""
    _DOCS.mkdir(exist_ok=True)
    head = _HEAD.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}", machine=platform.machine(), cores=cores, python=platform.python_version()
    )
    _, before = _read()
    alone = {group: section for group, section in before.items() if _ALONE in section}
    return _assemble(head, alone | _sections(measured))


def write_alone(measured: Sequence[Figure | Note]) -> Path:
    """Replace, or add, the sections of what was measured; the others stay as they are. Returns the page's path."""
    head, before = _read()
    remark = f"{_ALONE}{datetime.now(UTC):%Y-%m-%d}."
    fresh = {group: f"{remark}\n\n{section}" for group, section in _sections(measured).items()}
    return _assemble(head, before | fresh)


def _assemble(head: str, sections: Mapping[str, str]) -> Path:
    page = _DOCS / "performance.md"
    page.write_text(head + "".join(f"\n## {group}\n\n{section}" for group, section in sections.items()))
    return page


def _read() -> tuple[str, dict[str, str]]:
    """The page as it is: what stands above its sections, and these by their headings."""
    page = _DOCS / "performance.md"
    head, *parts = re.split(r"^\n## (.*)\n\n", page.read_text() if page.exists() else "", flags=re.MULTILINE)
    return head, dict(zip(parts[::2], parts[1::2], strict=True))


def _sections(measured: Sequence[Figure | Note]) -> dict[str, str]:
    return {group: _section(group, measured) for group in dict.fromkeys(item.group for item in measured)}


def _section(group: str, measured: Sequence[Figure | Note]) -> str:
    notes = [item.text for item in measured if isinstance(item, Note) and item.group == group]
    figures = [item for item in measured if isinstance(item, Figure) and item.group == group]
    section = "".join(f"{note}\n\n" for note in notes) + _table(figures)
    if sum(figure.ratio is not None for figure in figures) > 1:
        section += f"\n![{group}: ratio to baseline]({_plot(group, figures)})\n"
    return section


def _table(figures: Sequence[Figure]) -> str:
    rows = ["| What | Landfall | Baseline | | Ratio | Aim |", "|---|---:|---|---:|---:|---|"]
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        rows.append(
            f"| {figure.name} | {figure.value} | {figure.baseline_name} | {figure.baseline} | {ratio} | {figure.aim} |"
        )
    return "\n".join(rows) + "\n"


def _plot(group: str, figures: Sequence[Figure]) -> str:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "landfall"
    from matplotlib import pyplot

    shown = [figure for figure in figures if figure.ratio is not None][::-1]
    figure, axes = pyplot.subplots(figsize=(8, 0.45 * len(shown) + 1))
    bars = axes.barh([item.name for item in shown], [item.ratio or 0 for item in shown], color="#3b6ea5")
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_xlabel("ratio to the named baseline")
    axes.spines[["top", "right"]].set_visible(False)
    name = "performance-" + group.lower().replace(" ", "-").replace(",", "").replace(":", "").replace("'", "") + ".svg"
    figure.savefig(_DOCS / name, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    return name
