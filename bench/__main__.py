"""``python -m bench [--write] [name …]``: measure all, or the named ones.

``docs/performance.md`` is written when all were measured. With ``--write``, the sections of the named ones are replaced in it.
"""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, Note
from bench.report import write, write_alone
from dev.configuration import Configuration
from dev.database_setup import prepare
from dev.ports import free_port
from dev.postgres import Postgres


def main(arguments: list[str]) -> None:
    """Run on a Postgres of its own, durable as in production, with everything else at its defaults."""
    with ExitStack() as cleanup:
        home = Path(cleanup.enter_context(TemporaryDirectory(prefix="landfall-bench-")))
        home.chmod(0o755)  # Postgres may run as another user
        postgres = Postgres(home, free_port())
        cleanup.callback(postgres.stop)
        postgres.start()
        options = Configuration(home=home, postgres_port=postgres.port)
        os.environ.update(options.child_environment(""), LANDFALL_INSPECTION="schedule")
        _import_and_measure([name for name in arguments if name != "--write"], "--write" in arguments)


def _import_and_measure(names: list[str], may_write: bool) -> None:
    # Only now: these import the application, which reads the environment.
    from bench import audits, deployed, filters, growth, imports, ingest, inventories, landing, listing, peer, strangers
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
        "peer": peer.run,
    }
    measured: list[Figure | Note] = []
    for name, run in suites.items():
        if not names or name in names:
            for item in run():
                print(_line(item) if isinstance(item, Figure) else f"{item.group}: {item.text}", flush=True)
                measured.append(item)
    if not names:
        print(f"\nWritten: {write(measured, os.cpu_count() or 0)}")
    elif may_write and measured:
        print(f"\nWritten: {write_alone(measured)}")


def _line(figure: Figure) -> str:
    text = f"{figure.group}: {figure.name}: {figure.value}"
    if figure.ratio is not None:
        text += f"; {figure.baseline_name}: {figure.baseline}; ratio {figure.ratio:.2f}"
    return text + (f" (aim {figure.aim})" if figure.aim else "")


if __name__ == "__main__":
    main(sys.argv[1:])
