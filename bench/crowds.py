"""Recording among many files against recording into an empty catalogue, each in a process of its own, in turn.

Where keys are anywhere, every event's rows go to other pages of the indexes. These are read, and logged as a whole after each
checkpoint. So what the server itself can do there is measured, too.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from sqlalchemy import make_url, text

from bench.figures import Figure, in_turn, plain_engine
from bench.ingest import TABLES, handle, insert_select, messages, stage, vacuum
from chalicelib import runtime
from dev.database_setup import prepare

SIZE, ROUNDS = 1000, 30
_EMPTY = "empty_catalogue"
_GROUP = "Ingest among many files"
_SCATTER = """
UPDATE staged_{table} SET key = 'd' || mod(abs(hashtext(key)::bigint), 20000) || '/' || md5(key) || '.pdf'
"""


def record_among(files: int) -> Iterator[Figure]:
    """Measure, among the ``files`` files of this process's database."""
    with plain_engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {_EMPTY}"))
        connection.execute(text(f"CREATE DATABASE {_EMPTY}"))
    crowded = make_url(runtime.settings().database_url)
    urls = (url.render_as_string(hide_password=False) for url in (crowded, crowded.set(database=_EMPTY)))
    with _recorder(next(urls)) as many, _recorder(next(urls)) as none:
        for kind in _KEYS:
            large, small = in_turn(partial(_ask, many, kind), partial(_ask, none, kind), ROUNDS)
            yield Figure(
                _GROUP, f"events a second, batches of {SIZE:,}, {kind}, among {files:,} files",
                f"{SIZE / median(large):,.0f}", "in an empty catalogue", f"{SIZE / median(small):,.0f}",
                median(small) / median(large), "≥ 0.70",
            )  # fmt: skip
    yield _against_the_server(files)


def _against_the_server(files: int) -> Figure:
    from app import ingest

    engine = runtime.engine()
    staged = iter(stage(ingest, engine, SIZE, ROUNDS + 1))
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(text(_SCATTER.format(table=table)))
    vacuum(engine, *(f"staged_{table}" for table in TABLES))
    # Other keys than those that the process above has recorded.
    events = iter([messages(SIZE, lambda number: _scattered(number + 10**9)) for _ in range(ROUNDS + 1)])
    mine, limit = in_turn(lambda: handle(ingest, next(events)), lambda: insert_select(engine, next(staged)), ROUNDS)
    return Figure(
        _GROUP, f"events a second, batches of {SIZE:,}, keys anywhere, among {files:,} files",
        f"{SIZE / median(mine):,.0f}", "server's own INSERT … SELECT of such rows there",
        f"{SIZE / median(limit):,.0f}", median(limit) / median(mine), "≥ 0.60",
    )  # fmt: skip


@contextmanager
def _recorder(url: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", "bench.crowds"],
        cwd=Path(__file__).parents[1], env=os.environ | {"LANDFALL_DATABASE_URL": url},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            _wait_for(process)
            yield process
        finally:
            process.kill()


def _ask(process: "subprocess.Popen[str]", kind: str) -> None:
    assert process.stdin
    print(kind, file=process.stdin, flush=True)
    _wait_for(process)


def _wait_for(process: "subprocess.Popen[str]") -> None:
    assert process.stdout
    assert process.stdout.readline() == "done\n"


def _record() -> None:
    """In a process of its own: record a batch of new keys of the kind that each line names."""
    prepare(runtime.settings())
    from app import ingest  # only now: it reads the environment

    events = {kind: iter([messages(SIZE, key_of) for _ in range(ROUNDS + 1)]) for kind, key_of in _KEYS.items()}
    print("done", flush=True)
    for line in sys.stdin:
        handle(ingest, next(events[line.strip()]))
        print("done", flush=True)


def _scattered(number: int) -> str:
    """Among those of `bench.growth`, here and there, so that each file's entries go to other pages of the indexes."""
    place = number * 2_654_435_761 % 2**32
    return f"d{place % 20_000}/{place:08x}-{number}.pdf"


_KEYS = {"keys of one folder": "bench/{:09}.pdf".format, "keys anywhere": _scattered}


if __name__ == "__main__":
    _record()
