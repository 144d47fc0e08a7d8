"""Landfall and supabase/storage side by side: the same questions over HTTP, with tokens, in turn, in one run.

``LANDFALL_BENCH_PEER=folder python -m bench peer``: the folder holds supabase/storage, built as its own README says. Landfall is
what `make run` starts, its API served by ``chalice local``; the peer is what its ``npm start`` starts. Both have the same
PostgreSQL server and the same S3 emulator. Each has 100,000 objects of one user, and as many of others, and is asked by that user
over one connection that stays open. Landfall's token is of its own provider (ES256); the peer's is of its secret (HS256), for the
role ``authenticated``, with a policy that shows users their own objects.
"""

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from bench.figures import Figure, Note, milliseconds
from bench.peer_stack import BUCKET, NotThere, Side, find_peer, landfall, supabase

OVER_HTTP = "The peer, side by side over HTTP"
IN_A_ROW = "The peer, each asked in a row"
PROCESSOR = "The peer: processor time of a request"
HANDLER = "Over HTTP: the handler's share"
ROWS, ROUNDS, DEPTH = 100_000, 300, 10_000
# Of a question that one of the two takes a hundred times as long for.
FEW_ROUNDS = 60
BLOCKS = 4  # in which each is asked in a row, so that drift affects both
# After an upload Landfall's delivery loop takes up its event: neither side is to be measured while it does.
_REST_SECONDS = 0.15

_FILL_OURS = """
INSERT INTO files (id, owner_id, bucket, key, name, state, version_id, rank, size, etag, media_type, stored_at, created_at,
    updated_at)
SELECT CAST(lpad(to_hex(1763900000000 + n), 12, '0') || '70008' || substr(md5(n::text), 1, 15) AS uuid),
    owners.id, :bucket, owners.id || '/' || n, 'folder/' || lpad(n::text, 8, '0') || '.pdf', 'stored', md5(n::text),
    lpad(to_hex(n), 18, '0') || '!', n, md5(n::text), 'application/pdf', now(), to_timestamp(1763900000 + n / 1000.0), now()
FROM generate_series(1, CAST(:rows AS int) * 2) AS n
JOIN (SELECT CAST(:mine AS uuid) AS id, 0 AS turn UNION ALL SELECT CAST(:others AS uuid), 1) AS owners ON mod(n, 2) = turn
"""
_FILL_THEIRS = """
INSERT INTO storage.objects (bucket_id, name, owner, owner_id, version, created_at, metadata)
SELECT :bucket, 'folder/' || lpad(n::text, 8, '0') || '.pdf', owners.id, owners.id, gen_random_uuid(),
    to_timestamp(1763900000 + n / 1000.0), jsonb_build_object('eTag', md5(n::text), 'size', n, 'mimetype', 'application/pdf',
        'cacheControl', 'no-cache', 'lastModified', now(), 'contentLength', n, 'httpStatusCode', 200)
FROM generate_series(1, CAST(:rows AS int) * 2) AS n
JOIN (SELECT CAST(:mine AS uuid) AS id, 0 AS turn UNION ALL SELECT CAST(:others AS uuid), 1) AS owners ON mod(n, 2) = turn
"""

Ask = Callable[[], object]


class Client:
    """One user of one of the two, over one connection."""

    def __init__(self, side: Side) -> None:
        self._side, self._headers = side, side.headers()
        address = urlsplit(side.url)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port)

    def sign_in(self) -> None:
        """Get a new token."""
        self._headers = self._side.headers()

    def ask(self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json") -> Any:
        """The JSON of an answer, which must be of success."""
        headers = self._headers | ({} if body is None else {"Content-Type": content_type})
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 201), (method, path, answer.status, text)
        return json.loads(text)


def run() -> Iterator[Figure | Note]:
    """Measure, if there is a built peer; otherwise say why not."""
    try:
        peer = find_peer()
    except NotThere as reason:
        print(f"The peer is left out: {reason}.", flush=True)
        return
    with ExitStack() as cleanup:
        home = Path(cleanup.enter_context(TemporaryDirectory(prefix="landfall-bench-")))
        home.chmod(0o755)  # Postgres may run as another user
        ours = cleanup.enter_context(landfall(home / "stack"))
        theirs = cleanup.enter_context(supabase(peer, ours, home))
        yield from _compare(ours, theirs, peer.version)


def _compare(ours: Side, theirs: Side, version: str) -> Iterator[Figure | Note]:
    _fill(ours, theirs)
    mine, its = Client(ours), Client(theirs)
    loads = [os.getloadavg()[0]]
    for question in chain(_pages(mine, its), _of_one(mine, its, ours)):
        mine.sign_in()
        its.sign_in()
        yield from _measure(question, ours, theirs, version)
        loads.append(os.getloadavg()[0])
    yield from _notes(min(loads), max(loads))


def _notes(least: float, most: float) -> Iterator[Note]:
    yield Note(
        OVER_HTTP,
        "Landfall is what `make run` starts, served by `chalice local` (Python's `http.server`). supabase/storage "
        "is served by Fastify on Node, its queue off. Both stand on one PostgreSQL 18 and one S3 emulator, log "
        f"each request, and are asked in turn, {ROUNDS} times ({FEW_ROUNDS} newest first). Each has {ROWS:,} "
        "objects of the caller, and as many of others. Landfall's caller is a member with a token (ES256); the "
        "peer's is `authenticated` with a token (HS256) and a policy of own objects. For newest first, the peer "
        f"has no index. The machine's load meanwhile was {least:.0f} to {most:.0f} on {os.cpu_count()} cores.",
    )
    yield Note(
        IN_A_ROW,
        f"The same, each in {BLOCKS} blocks: a server that is asked again and again finds its data in the processor's caches.",
    )
    yield Note(
        PROCESSOR, "Of the process that answers, without Postgres and the emulator. The load matters less to it."
    )
    yield Note(
        HANDLER,
        "From the moment the application has the request to its answer: what Lambda runs. The rest is `chalice local`, the way"
        " through the sockets, and the client.",
    )


@dataclass(frozen=True)
class Question:
    """What both are asked, ``rounds`` times. Before each time there is a rest."""

    name: str
    ask_mine: Ask
    ask_its: Ask
    rest_seconds: float = 0
    rounds: int = ROUNDS


def _pages(mine: Client, its: Client) -> Iterator[Question]:
    """The page of 100 that follows a cursor. The peer's default order is by name; newest first, it has no index for."""
    for label, rounds, ours, theirs in (
        ("by name", ROUNDS, {"sort": "name"}, {"column": "name", "order": "asc"}),
        ("newest first", FEW_ROUNDS, {"sort": "-created"}, {"column": "created_at", "order": "desc"}),
    ):
        deep = _our_cursor(mine, ours)
        our_path = "/api/files?" + urlencode({**ours, "limit": 100, "cursor": deep})
        asked = {"limit": 100, "sortBy": theirs, "cursor": _their_cursor(its, theirs)}
        their_body = json.dumps(asked).encode()
        yield Question(
            f"page of 100 {label}, {DEPTH:,} deep",
            lambda: _all_hundred(mine.ask("GET", our_path)["items"]),  # noqa: B023 - called before the next comes
            lambda: _all_hundred(its.ask("POST", f"/object/list-v2/{BUCKET}", their_body)["objects"]),  # noqa: B023
            rounds=rounds,
        )  # fmt: skip


def _all_hundred(page: list[Any]) -> None:
    assert len(page) == 100


def _our_cursor(mine: Client, order: dict[str, str]) -> str:
    query: dict[str, Any] = {**order, "limit": 1000}
    for _ in range(DEPTH // 1000):
        query["cursor"] = mine.ask("GET", "/api/files?" + urlencode(query))["next_cursor"]
    return str(query["cursor"])


def _their_cursor(its: Client, order: dict[str, str]) -> str:
    query: dict[str, Any] = {"sortBy": order, "limit": 1000}
    for _ in range(DEPTH // 1000):
        query["cursor"] = its.ask("POST", f"/object/list-v2/{BUCKET}", json.dumps(query).encode())["nextCursor"]
    return str(query["cursor"])


def _of_one(mine: Client, its: Client, ours: Side) -> Iterator[Question]:
    """Each round asks about another object."""
    found = ours.database.run(
        "SELECT id, name FROM files WHERE owner_id = :mine AND key ~ '/[0-9]+$' ORDER BY md5(key) LIMIT :rounds",
        mine=ours.user_id, rounds=ROUNDS + 1,
    )  # fmt: skip
    ids, names = _each([str(row[0]) for row in found]), _each([str(row[1]) for row in found])
    yield Question(
        "info of one object",
        lambda: mine.ask("GET", f"/api/files/{next(ids)}"),
        lambda: its.ask("GET", f"/object/info/{BUCKET}/{next(names)}"),
    )  # fmt: skip
    lasting = json.dumps({"expiresIn": 900}).encode()
    yield Question(
        "sign one download",
        lambda: mine.ask("GET", f"/api/files/{next(ids)}/download?redirect=false"),
        lambda: its.ask("POST", f"/object/sign/{BUCKET}/{next(names)}", lasting),
    )  # fmt: skip
    content = bytes(range(256)) * 4
    form, content_type = _form(content)
    yield Question(
        "upload of 1 KB",
        lambda: mine.ask("POST", "/api/files/upload", form, content_type),
        lambda: its.ask("POST", f"/object/{BUCKET}/uploads/{uuid4()}", content, "application/octet-stream"),
        _REST_SECONDS,
    )  # fmt: skip


def _each(values: list[str]) -> Iterator[str]:
    while True:
        yield from values


def _form(content: bytes) -> tuple[bytes, str]:
    boundary = uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _fill(ours: Side, theirs: Side) -> None:
    others = str(uuid4())
    ours.database.run(
        "INSERT INTO users (id, name, role, created_at, updated_at) VALUES (:id, 'others', 'member', now(), now())",
        id=others,
    )
    for side, statement, bucket, tables in (
        (ours, _FILL_OURS, ours.options.bucket, ("files", "search_queue")),
        (theirs, _FILL_THEIRS, BUCKET, ("storage.objects",)),
    ):
        side.database.run(statement, bucket=bucket, mine=side.user_id, others=others, rows=ROWS)
        if side is ours:
            side.database.run("DELETE FROM search_queue")  # the clock would work on it meanwhile
        for table in tables:
            side.database.run(f"VACUUM ANALYZE {table}")


def _measure(question: Question, ours: Side, theirs: Side, version: str) -> Iterator[Figure]:
    ask_mine, ask_its = question.ask_mine, question.ask_its
    ask_mine()
    ask_its()
    mine, its = [], []
    spent_before = _processor_seconds(ours), _processor_seconds(theirs)
    for _ in range(question.rounds):
        time.sleep(question.rest_seconds)
        its.append(_seconds(ask_its))
        mine.append(_seconds(ask_mine))
    my_cost, its_cost = ((_processor_seconds(side) - before) / question.rounds
                         for side, before in zip((ours, theirs), spent_before, strict=True))  # fmt: skip
    handling = _handling_seconds(ours)[-question.rounds :]
    peer = f"supabase/storage {version}"
    yield Figure(
        OVER_HTTP, f"{question.name}: p50, p95", _two(mine), peer, _two(its), median(mine) / median(its), "< 1"
    )
    yield Figure(
        PROCESSOR, question.name, f"{my_cost * 1000:.1f} ms", peer, f"{its_cost * 1000:.1f} ms", my_cost / its_cost
    )
    yield Figure(
        HANDLER, f"{question.name}: p50", milliseconds(handling),
        "the whole request", milliseconds(mine), median(handling) / median(mine),
    )  # fmt: skip
    mine, its = _in_a_row(question)
    yield Figure(IN_A_ROW, f"{question.name}: p50, p95", _two(mine), peer, _two(its), median(mine) / median(its), "< 1")


def _in_a_row(question: Question) -> tuple[list[float], list[float]]:
    """The same, each asked many times before the other is: what either needs stays in the processor's caches."""
    mine: list[float] = []
    its: list[float] = []
    for _ in range(BLOCKS):
        for ask, taken in ((question.ask_its, its), (question.ask_mine, mine)):
            for _ in range(question.rounds // BLOCKS):
                time.sleep(question.rest_seconds)
                taken.append(_seconds(ask))
    return mine, its


def _processor_seconds(side: Side) -> float:
    spent = side.server.cpu_times()
    return float(spent.user + spent.system)


def _handling_seconds(ours: Side) -> list[float]:
    """How long the handler took for each request, as it logs them."""
    lines = (ours.options.logs / "api.log").read_text().splitlines()
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    return [line["ms"] / 1000 for line in logged if line["message"] == "request"]


def _seconds(ask: Ask) -> float:
    start = time.perf_counter()
    ask()
    return time.perf_counter() - start


def _two(values: list[float]) -> str:
    return f"{median(values) * 1000:.1f} ms, {quantiles(values, n=20)[-1] * 1000:.1f} ms"
