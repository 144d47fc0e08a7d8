"""Writes what was measured: a table and plots into ``docs/performance.md``."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Figure

_DOCS = Path(__file__).parent.parent / "docs"
_HEAD = """# Performance

Written by `make bench` on {date}: {machine}, {cores} cores, Python {python}. Each ratio is against the named baseline, run in
turn with it in the same run; absolute times are this machine's and vary by tens of per cent. Medians throughout.
"""


def write(figures: Sequence[Figure], cores: int) -> Path:
    """Write the page and its plots; returns the page's path."""
    _DOCS.mkdir(exist_ok=True)
    head = _HEAD.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}", machine=platform.machine(), cores=cores, python=platform.python_version()
    )
    parts = [head]
    for group in dict.fromkeys(figure.group for figure in figures):
        members = [figure for figure in figures if figure.group == group]
        parts.append(f"\n## {group}\n\n{_table(members)}")
        if sum(figure.ratio is not None for figure in members) > 1:
            parts.append(f"\n![{group}: ratio to baseline]({_plot(group, members)})\n")
    page = _DOCS / "performance.md"
    page.write_text("".join(parts))
    return page


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
    name = "performance-" + group.lower().replace(" ", "-").replace(",", "") + ".svg"
    figure.savefig(_DOCS / name, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    return name
