"""Reads S3 Inventories that are written as Parquet, with a library in an environment of its own: see ADR 26."""

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from chalicelib.catalog.inventory_reading import IN_PARQUET
from chalicelib.errors import InvalidInventory
from chalicelib.services.truth.loading import ReadParquet
from dev.environments import Environment, ensure_environment

_ENVIRONMENT = Environment("parquet", "What reads Parquet")
# A group of rows at a time, and of it what is read next: the file may be larger than memory.
_TO_CSV = """
import sys
from pyarrow import csv, parquet
path, *columns = sys.argv[1:]
with parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
    options, schema = csv.WriteOptions(include_header=False), None
    for batch in file.iter_batches(20_000, columns=columns, use_threads=False):
        batch = batch.select(columns)
        if schema is None:
            schema = batch.schema
            writer = csv.CSVWriter(sys.stdout.buffer, schema, write_options=options)
        writer.write_batch(batch)
"""


def ensure_parquet(logs: Path) -> Path:
    """Install what reads Parquet, once for a checkout, and return the Python that has it.

    Raises:
        StackProblem: pip could not install it.
    """
    return ensure_environment(_ENVIRONMENT, logs)


def parquet_reader(logs: Path) -> ReadParquet:
    """What reads files of Parquet. It is installed when the first one is read."""

    @contextmanager
    def read(path: str) -> Iterator[Iterable[str]]:
        command = [str(ensure_parquet(logs)), "-c", _TO_CSV, path, *IN_PARQUET]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader:
            try:
                yield _lines(reader)
            finally:
                reader.kill()

    return read


def _lines(reader: "subprocess.Popen[bytes]") -> Iterator[str]:
    assert reader.stdout is not None
    yield from TextIOWrapper(reader.stdout, "utf-8", newline="")
    if reader.wait() != 0:
        raise InvalidInventory("A file of the inventory can't be read: it is no Parquet, or not as its manifest says.")
