"""What a cold start pays to import the application, and to answer its first request, against importing its libraries alone."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.figures import Figure, in_turn
from bench.listing import _list_request

_ROOT = Path(__file__).parent.parent
_ROUNDS = 15
_LIBRARIES = "import chalice, sqlalchemy, pg8000, pydantic"
_CANDIDATES = {
    "imports `app`": "import app",
    "imports `app` as Lambda does for the API": "import app; app.preload('app')",
    "imports `app` as Lambda does for `ingest`": "import app; app.preload('ingest')",
    "imports `app` and answers GET /api/files": f"import app; assert app.app({_list_request({})!r}, None)['statusCode'] == 200",
}


def run() -> Iterator[Figure]:
    """Measure whole processes; the cost of starting Python is in both and taken from neither."""
    with TemporaryDirectory(prefix="landfall-bytecode-") as bytecode:
        python = partial(_python, bytecode)
        for name, code in _CANDIDATES.items():
            yield _measure(name, partial(python, code), partial(python, _LIBRARIES))


def _measure(name: str, candidate: Callable[[], None], libraries: Callable[[], None]) -> Figure:
    mine, theirs = in_turn(candidate, libraries, _ROUNDS)
    return Figure(
        "Cold start",
        f"process that {name}",
        f"{median(mine) * 1000:.0f} ms",
        "process that imports chalice, sqlalchemy, pg8000 and pydantic",
        f"{median(theirs) * 1000:.0f} ms",
        median(mine) / median(theirs),
        "≤ 1.25" if name == "imports `app`" else "",
    )


def _python(bytecode: str, code: str) -> None:
    # Both sides find bytecode, as in a package, even if this environment lets Python write none.
    environment = os.environ | {"PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-c", code], cwd=_ROOT, check=True, capture_output=True, env=environment)
