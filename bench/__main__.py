"""``python -m bench [name …]``: measure all, or the named ones, and write ``docs/performance.md`` when all were measured."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure
from bench.report import write
from dev.configuration import Configuration
from dev.database_setup import prepare
from dev.ports import free_port
from dev.postgres import Postgres


def main(names: list[str]) -> None:
    """Run on a Postgres of its own, durable as in production, with everything else at its defaults."""
    with ExitStack() as cleanup:
        home = Path(cleanup.enter_context(TemporaryDirectory(prefix="landfall-bench-")))
        home.chmod(0o755)  # Postgres may run as another user
        postgres = Postgres(home, free_port())
        cleanup.callback(postgres.stop)
        postgres.start()
        options = Configuration(home=home, postgres_port=postgres.port)
        os.environ.update(options.child_environment(""), LANDFALL_INSPECTION="schedule")
        _import_and_measure(names)


def _import_and_measure(names: list[str]) -> None:
    # Only now: these import the application, which reads the environment.
    from bench import audits, deployed, filters, growth, imports, ingest, inventories, landing, listing, strangers
    from chalicelib import runtime

    prepare(runtime.settings())
    suites = {
        "ingest": ingest.run,
        "listing": listing.run,
        "filters": filters.run,
        "growth": growth.run,
        "audits": audits.run,
        "inventories": inventories.run,
        "imports": imports.run,
        "deployed": deployed.run,
        "landing": landing.run,
        "strangers": strangers.run,
    }
    figures: list[Figure] = []
    for name, run in suites.items():
        if not names or name in names:
            for figure in run():
                print(_line(figure), flush=True)
                figures.append(figure)
    if not names:
        print(f"\nWritten: {write(figures, os.cpu_count() or 0)}")


def _line(figure: Figure) -> str:
    text = f"{figure.group}: {figure.name}: {figure.value}"
    if figure.ratio is not None:
        text += f"; {figure.baseline_name}: {figure.baseline}; ratio {figure.ratio:.2f}"
    return text + (f" (aim {figure.aim})" if figure.aim else "")


if __name__ == "__main__":
    main(sys.argv[1:])
