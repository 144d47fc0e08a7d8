"""What a cold start pays to import the application, against importing its libraries alone."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.figures import Figure, in_turn

_ROOT = Path(__file__).parent.parent


def run() -> Iterator[Figure]:
    """Measure whole processes; the cost of starting Python is in both and taken from neither."""
    app, libraries = in_turn(
        lambda: _python("import app"), lambda: _python("import chalice, sqlalchemy, pg8000, pydantic"), 15
    )
    yield Figure(
        "Cold start",
        "process that imports `app`",
        f"{median(app) * 1000:.0f} ms",
        "process that imports chalice, sqlalchemy, pg8000 and pydantic",
        f"{median(libraries) * 1000:.0f} ms",
        median(app) / median(libraries),
        "≤ 1.25",
    )


def _python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=_ROOT, check=True, capture_output=True)
