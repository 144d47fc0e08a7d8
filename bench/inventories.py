"""An audit of a million unchanged versions from an S3 Inventory, by a worker for each of two cores, against loading alone.

``BENCH_VERSIONS`` says how many there are.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from gzip import compress
from hashlib import md5
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from bench.figures import Figure, seconds
from bench.ingest import vacuum
from chalicelib import runtime
from chalicelib.catalog.audits import AuditRequest
from chalicelib.catalog.inventories import Inventory
from chalicelib.catalog.inventory_reading import parse_manifest
from chalicelib.services.context import Context
from chalicelib.services.truth import auditing
from chalicelib.services.truth.inventories import compare_inventory
from chalicelib.store.inventories import Inventories
from dev.configuration import PROJECT

ROWS = int(os.environ.get("BENCH_VERSIONS") or 1_000_000)
FILES = 8
WORKERS = 2
ROUNDS = 3
_FILLED_AT_ONCE = 250_000
_FIELDS = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass"

_FILL = text("""
INSERT INTO object_versions (bucket, key, version_id, put_rank, held_object, size, etag, stored_at)
SELECT :bucket, 'stock/' || lpad((n / 1000)::text, 5, '0') || '/file ' || lpad(n::text, 9, '0') || '.bin', md5(n::text),
    lpad(to_hex(n), 18, '0') || '!', true, n, md5('e' || n), to_timestamp(1763900000 + n / 1000)
FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
""")
_LISTED = text("""
SELECT '"' || :bucket || '","' || replace(key, ' ', '+') || '","' || version_id || '","true","false","' || size || '","'
    || to_char(stored_at, 'YYYY-MM-DD"T"HH24:MI:SS".000Z"') || '","' || etag || E'","STANDARD"\\n'
FROM object_versions WHERE mod(size, :files) = :number ORDER BY size
""")
_COPY_OUT = """
COPY (SELECT 0, key, version_id, true, false, size, stored_at, etag FROM object_versions WHERE mod(size, {files}) = {number}
    ORDER BY size) TO STDOUT"""
_COPY_IN = """
COPY inventory_versions (inventory_id, key, version_id, is_latest, is_marker, size, modified, etag) FROM STDIN"""


class Folder:
    """A bucket as files: what reading them takes of S3 itself is no part of what is measured."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": (self._folder / Key).open("rb")}


class Store:
    """All of a store that this needs. Whoever lists the bucket fails."""

    def __init__(self, folder: Path) -> None:
        self.inventories = Inventories(Folder(folder))


def run() -> Iterator[Figure]:
    """Measure; the versions of this process's database are replaced by a million generated ones."""
    engine = runtime.engine()
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE files, object_versions, file_events, search_queue CASCADE"))
    for first in range(1, ROWS + 1, _FILLED_AT_ONCE):
        last = min(ROWS, first + _FILLED_AT_ONCE - 1)
        with engine.begin() as connection:
            connection.execute(_FILL, {"first": first, "last": last, "bucket": runtime.settings().bucket})
    vacuum(engine, "object_versions")
    with TemporaryDirectory(prefix="landfall-bench-") as name:
        yield from _measure(engine, Path(name))


def _measure(engine: Engine, folder: Path) -> Iterator[Figure]:
    inventory = _write(engine, folder)
    whole, loading, limit, sizes = list[float](), list[float](), list[float](), list[int]()
    for _ in range(ROUNDS):
        limit.append(seconds(lambda: _load_ready_made(engine, folder)))
        with engine.begin() as connection:
            connection.execute(text("TRUNCATE inventory_versions"))
        taken = _audit(inventory, folder)
        whole.append(taken["seconds"])
        loading.append(taken["loading"])
        sizes.append(taken["bytes"])
    rate, limit_rate = ROWS / min(whole), ROWS / min(limit)
    yield Figure(
        "Audit from an inventory", f"versions a second, {ROWS:,} unchanged, {WORKERS} workers", f"{rate:,.0f}",
        "COPY of the same rows, ready made", f"{limit_rate:,.0f}", rate / limit_rate, "≥ 50,000",
    )  # fmt: skip
    yield Figure(
        "Audit from an inventory", "of these, versions loaded a second", f"{ROWS / min(loading):,.0f}",
        "COPY of the same rows, ready made", f"{limit_rate:,.0f}", ROWS / min(loading) / limit_rate,
    )  # fmt: skip
    comparing = min(all_ - loaded for all_, loaded in zip(whole, loading, strict=True))
    yield Figure("Audit from an inventory", "of these, versions compared a second", f"{ROWS / comparing:,.0f}")
    yield Figure("Audit from an inventory", "memory of a worker", f"{max(sizes) / 1024 / 1024:.0f} MB", aim="< 256 MB")


def _write(engine: Engine, folder: Path) -> Inventory:
    entries = []
    for number in range(FILES):
        with engine.connect() as connection:
            values = {"bucket": runtime.settings().bucket, "files": FILES, "number": number}
            part = compress("".join(connection.scalars(_LISTED, values)).encode(), 6)
            cursor: Any = connection.connection.cursor()
            with (folder / f"{number}.copy").open("wb") as target:
                cursor.execute(_COPY_OUT.format(files=FILES, number=number), stream=target)
        (folder / f"{number}.csv.gz").write_bytes(part)
        entries.append({"key": f"{number}.csv.gz", "size": len(part), "MD5checksum": md5(part).hexdigest()})
    manifest = {
        "sourceBucket": runtime.settings().bucket, "creationTimestamp": "1796000000000", "fileFormat": "CSV",
        "fileSchema": _FIELDS, "files": entries,
    }  # fmt: skip
    return parse_manifest("b", "manifest.json", json.dumps(manifest).encode())


def _load_ready_made(engine: Engine, folder: Path) -> None:
    """By as many processes as there are workers, each file in a transaction."""
    halves = [",".join(str(number) for number in range(FILES) if number % WORKERS == one) for one in range(WORKERS)]
    _wait_for([_start("copy", half, str(folder)) for half in halves])


def _audit(inventory: Inventory, folder: Path) -> dict[str, Any]:
    ctx = runtime.context()
    with ctx.transaction() as tx:
        request = AuditRequest(inventory.source, repairs=True, inventory=inventory)
        audit_id = auditing.begin_audit(tx, request)
    answers: list[str] = []
    taken = seconds(
        lambda: answers.extend(_wait_for([_start("work", str(audit_id), str(folder)) for _ in range(WORKERS)]))
    )
    with ctx.transaction() as tx:
        audit = auditing.get_audit(tx, audit_id)
    assert (audit.state, audit.compared, audit.drift) == ("done", ROWS, 0)
    loading, size = zip(*(json.loads(answer) for answer in answers), strict=True)
    return {"seconds": taken, "loading": max(loading), "bytes": max(size)}


def _start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "bench.inventories", *arguments], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )


def _wait_for(processes: list["subprocess.Popen[str]"]) -> list[str]:
    answers = [process.communicate()[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    return answers


def _be_worker(kind: str, what: str, folder: Path) -> None:
    if kind == "copy":
        for number in what.split(","):
            with runtime.engine().begin() as connection, (folder / f"{number}.copy").open("rb") as source:
                cursor: Any = connection.connection.cursor()
                cursor.execute(_COPY_IN, stream=iter(lambda: source.read(1 << 20), b""))
        return
    usual = runtime.context()
    store: Any = Store(folder)
    ctx = Context(usual.begin, lambda: store, usual.settings, usual.principal, usual.clock)
    began, loaded = perf_counter(), list[float]()

    def compare(*arguments: Any) -> None:
        loaded.append(perf_counter())
        compare_inventory(*arguments)

    auditing.compare_inventory = compare
    auditing.work_on_audit(ctx, UUID(what))
    loading = (loaded[0] if loaded else perf_counter()) - began
    print(json.dumps([loading, _peak()]))


def _peak() -> int:
    """The most bytes of memory that this program has had. `resource` would count what its parent had, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    _be_worker(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
