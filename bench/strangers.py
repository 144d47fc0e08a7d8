"""Whether time tells a stranger what others have: pairs of requests, about what is another's and about what nobody has.

The owner has 100,000 files, half of them with a word of its own. One stranger has hardly any, another one many.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sqlalchemy import text

from bench.figures import Figure, in_turn, milliseconds, plain_engine
from bench.ingest import vacuum
from chalicelib import runtime
from tests.support.aws import make_bucket
from tests.support.backend import emulated_store
from tests.support.identified import KEYS, identified_service
from tests.support.matrix import Line, World, read_table

ROWS, PAIRS = 100_000, 200

_FILL = """
INSERT INTO files (id, owner_id, bucket, key, name, state, version_id, rank, size, media_type, stored_at, created_at, updated_at)
SELECT CAST(lpad(to_hex(1763900000000 + n * 10 + CAST(:lot AS int)), 12, '0') || '70008' || lpad(to_hex(n), 15, '0') AS uuid),
    CAST(:owner AS uuid), 'backend', CAST(:owner AS text) || '/' || n,
    md5(n::text) || CASE WHEN mod(n, 2) = 0 THEN CAST(:word AS text) ELSE '' END, 'stored',
    md5(n::text), lpad(to_hex(n), 18, '0') || '!', n, 'application/pdf', now(), now(), now()
FROM generate_series(1, CAST(:rows AS int)) AS n
"""
_INDEX = """
INSERT INTO file_search (file_id, words, document)
SELECT id, words, to_tsvector('simple', words)
FROM (SELECT id, lower(replace(name || ' ' || key, '/', ' ')) AS words FROM files) AS w ON CONFLICT DO NOTHING
"""
_WORDS = [
    Line("GET /api/files", "", {}, query={"q": "{word}"}),
    Line("GET /api/files", "", {}, query={"q": "{word}", "sort": "-created"}),
    Line("GET /api/files", "", {}, query={"tag": "{word}"}),
    Line("GET /api/files", "", {}, query={"key": "{key}"}),
    Line("GET /api/files/facets", "", {}, query={"q": "{word}"}),
    Line("GET /api/files", "", {}, query={"prefix": "{folder}"}),
    Line("GET /api/files", "", {}, query={"folder": "{folder}"}),
    Line("GET /api/folders", "", {}, query={"prefix": "{folder}"}),
]


def run() -> Iterator[Figure]:
    """Measure, behind an identity provider and on an emulator of its own."""
    with contextlib.ExitStack() as cleanup:
        home = Path(cleanup.enter_context(TemporaryDirectory(prefix="landfall-bench-")))
        s3, _ = cleanup.enter_context(emulated_store(home))
        make_bucket(s3, KEYS)
        url = runtime.settings().database_url
        world = World(cleanup.enter_context(identified_service(url, s3)))
        _fill(world.ids["owner"], 1, ROWS, " zebra")
        yield _worst(world, "a stranger's requests", list(_by_ids(world)))
        yield _worst(world, "words, keys and folders; a stranger with no files", list(_by_words(world)))
        _fill(world.ids["stranger"], 2, ROWS // 4, " ours")
        yield _worst(world, "words, keys and folders; a stranger with 25,000 files", list(_by_words(world)))


def _fill(owner: str, lot: int, rows: int, word: str) -> None:
    with plain_engine().begin() as connection:
        connection.execute(text(_FILL), {"owner": owner, "lot": lot, "rows": rows, "word": word})
        connection.execute(text(_INDEX))
        connection.execute(text("DELETE FROM search_queue"))
    for table in ("files", "file_search"):
        vacuum(runtime.engine(), table)


_Pair = tuple[str, Line, dict[str, str], dict[str, str]]


def _by_ids(world: World) -> Iterator[_Pair]:
    """Each route that is refused: what is there, and what never was."""
    for line in read_table().values():
        if line.kind and set(line.expected["stranger"]) == {404}:
            there, unknown = (world.names(line, "stranger", state) for state in ("there", "unknown"))
            yield line.name, line, there, unknown


def _by_words(world: World) -> Iterator[_Pair]:
    owner = world.ids["owner"]
    theirs = {"word": "zebra", "key": f"{owner}/7", "folder": f"{owner}/"}
    nobodys = {"word": "okapi", "key": f"{owner}/none", "folder": "00000000-0000-7000-8000-000000000009/"}
    for line in _WORDS:
        yield f"{line.name} {line.query}", line, theirs, nobodys


def _worst(world: World, name: str, pairs: list[_Pair]) -> Figure:
    """Print the medians of each pair; returns those that differ most."""
    measured = []
    for label, line, theirs, nobodys in pairs:
        with contextlib.redirect_stdout(io.StringIO()):
            line = replace(line, expected={})
            found, none = in_turn(
                lambda: world.ask("stranger", line, theirs),  # noqa: B023 - called at once
                lambda: world.ask("stranger", line, nobodys),  # noqa: B023 - called at once
                PAIRS,
            )
        measured.append((median(found) / median(none), label, found, none))
        print(f"  {label}: {milliseconds(found)}, {milliseconds(none)}; ratio {measured[-1][0]:.3f}", flush=True)
    ratio, label, found, none = max(measured, key=lambda one: abs(one[0] - 1))
    return Figure("What a stranger learns from time", f"{name}: {label}", milliseconds(found), "what nobody has",
                  milliseconds(none), ratio, "0.95 to 1.05")  # fmt: skip
