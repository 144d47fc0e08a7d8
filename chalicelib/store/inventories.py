"""The files of an S3 Inventory: their bytes, which must be those that the manifest names."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from typing import IO, Any, Protocol

from chalicelib.catalog.inventories import InventoryFile
from chalicelib.errors import InvalidInventory, NotFound, Refused, StoreUnavailable
from chalicelib.store.failures import lacks_bucket, translating

_BLOCK = 256 * 1024
# Refusals that another try doesn't change: Landfall has no right to the file, it lies in an archive, or no key is so long.
_LASTING = {"AccessDenied", "InvalidObjectState", "KeyTooLongError"}
_LARGEST_MANIFEST = 64 * 1024 * 1024  # a hundred times the manifest of a billion versions


class _Body(Protocol):
    def read(self, amount: int) -> bytes: ...

    def close(self) -> None: ...


class Inventories:
    """Reads manifests and their files."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def manifest(self, bucket: str, key: str) -> bytes:
        """The bytes of a manifest.

        Raises:
            InvalidInventory: there is none. StoreUnavailable.
        """
        body = self._open(bucket, key)
        with translating(f"read a manifest of {bucket}"):
            text = body.read(_LARGEST_MANIFEST + 1)
        body.close()
        if len(text) > _LARGEST_MANIFEST:
            raise InvalidInventory(f"s3://{bucket}/{key} is no manifest of an S3 Inventory: it is too large.")
        return text

    @contextmanager
    def lines(self, bucket: str, file: InventoryFile) -> Iterator[Iterator[str]]:
        """The lines of a file of CSV that is compressed with gzip. Once all are read, they were the right ones.

        Raises:
            InvalidInventory: there is no such file, or it is another one than the manifest names, or is no gzip.
            StoreUnavailable.
        """
        with self._checked(bucket, file) as stream:
            yield _unpacked(bucket, file, stream)

    def save(self, bucket: str, file: InventoryFile, target: IO[bytes]) -> None:
        """Write a file's bytes elsewhere.

        Raises:
            InvalidInventory: there is no such file, or it is another one than the manifest names. StoreUnavailable.
        """
        with self._checked(bucket, file) as stream:
            while block := stream.read(_BLOCK):
                target.write(block)

    @contextmanager
    def _checked(self, bucket: str, file: InventoryFile) -> Iterator["_Checked"]:
        stream = _Checked(bucket, file, self._open(bucket, file.key))
        try:
            yield stream
        finally:
            stream.close()

    def _open(self, bucket: str, key: str) -> _Body:
        try:
            with translating(f"read an inventory in {bucket}"):
                body: _Body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
                return body
        except NotFound as error:
            raise InvalidInventory(f"There is no s3://{bucket}/{key}.") from error
        except Refused as error:
            if error.code not in _LASTING:
                raise
            raise InvalidInventory(f"s3://{bucket}/{key} can't be read: the store answers {error.code}.") from error
        except StoreUnavailable as error:
            if not lacks_bucket(error):
                raise
            raise InvalidInventory(f"There is no bucket {bucket}.") from error


class _Checked(io.RawIOBase):
    """A file's bytes. At their end their number and their MD5 must be those of the manifest."""

    def __init__(self, bucket: str, file: InventoryFile, body: _Body) -> None:
        self._name, self._file, self._body = f"s3://{bucket}/{file.key}", file, body
        self._hash, self._size = md5(usedforsecurity=False), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with translating("read a file of an inventory"):
            block = self._body.read(len(buffer))
        self._hash.update(block)
        self._size += len(block)
        if not block and (self._size, self._hash.hexdigest()) != (self._file.size, self._file.md5):
            raise InvalidInventory(f"{self._name} is another file than its manifest names: its size or MD5 differs.")
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._body.close()
        super().close()


def _unpacked(bucket: str, file: InventoryFile, stream: _Checked) -> Iterator[str]:
    packed = io.BufferedReader(stream, _BLOCK)
    text = io.TextIOWrapper(io.BufferedReader(gzip.GzipFile(fileobj=packed), _BLOCK), "utf-8", newline="")
    try:
        yield from text
        while packed.read(_BLOCK):  # up to the end, where the bytes are checked
            pass
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise InvalidInventory(f"s3://{bucket}/{file.key} can't be read: it is no whole gzip file of text.") from error
