"""Botocore's errors in Landfall's words.

Botocore tries a request again by itself, and tells of its last try only. S3 may have carried out an earlier one, whose answer was
lost. So `note_try` is told of each.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from chalicelib.errors import (
    LandfallError,
    NotFound,
    NothingInRange,
    NotSupported,
    PreconditionFailed,
    Refused,
    StoreUnavailable,
    StoreUncertain,
)

# HEAD answers have no body to name a code in; 405 is the answer to reading a delete marker by its version id.
_MISSING = {404, 405}
_NOTHING_IN_RANGE = 416
_PRECONDITION_FAILED = 412

# Whether S3 may have carried out a try of the present request whose answer was lost.
_may_be_done: ContextVar[bool] = ContextVar("may_be_done", default=False)


@contextmanager
def translating(
    doing: str, missing: type[NotFound] | type[StoreUnavailable] = NotFound, *, once: bool = False
) -> Iterator[None]:
    """Raise Landfall's errors for botocore's. Botocore's texts stay in the causes, because they may hold keys and hosts.

    ``missing`` is the error to raise if there is no such object, version or upload.

    ``once``: the request can't be carried out twice, because the first time makes its conditions false. If S3 refuses it after an
    earlier try whose answer was lost, that is `StoreUncertain`.
    """
    # Importing it here saves 3 ms where no link is signed and S3 isn't asked for anything.
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ReadTimeoutError

    _may_be_done.set(False)
    try:
        yield
    except ClientError as error:
        if once and _may_be_done.get():
            raise StoreUncertain(f"The object store could not {doing}: an earlier answer did not come.") from error
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code = str(error.response.get("Error", {}).get("Code"))
        if code == "NoSuchBucket":  # says nothing about an object: the bucket was renamed, or this is another store
            raise StoreUnavailable(f"The object store could not {doing}: there is no such bucket.") from error
        if code == "NotImplemented":
            raise NotSupported(f"The object store cannot {doing} so.", code) from error
        if status in _MISSING:
            raise missing(f"The object store could not {doing}: there is none.") from error
        if status == _NOTHING_IN_RANGE:
            raise NothingInRange(f"The object store could not {doing}: it is empty.") from error
        if status == _PRECONDITION_FAILED:
            raise PreconditionFailed(f"The object store could not {doing}: it is another one by now.") from error
        if status is None or status >= 500:
            raise StoreUncertain(f"The object store could not {doing}.") from error
        raise Refused(f"The object store could not {doing}.", code) from error
    except (ConnectionClosedError, ReadTimeoutError) as error:
        raise StoreUncertain(f"The object store could not {doing}: its answer did not come.") from error
    except BotoCoreError as error:
        if _may_be_done.get():
            raise StoreUncertain(f"The object store could not {doing}: an earlier answer did not come.") from error
        raise StoreUnavailable(f"The object store could not {doing}: it does not answer.") from error


def lacks_bucket(error: StoreUnavailable) -> bool:
    """Whether the store doesn't answer because it has no such bucket: where a caller has named it, that is the caller's error."""
    return _code(error) == "NoSuchBucket"


def lacks_upload(error: NotFound) -> bool:
    """Whether what isn't there is the multipart upload, and not an object."""
    return _code(error) == "NoSuchUpload"


def _code(error: LandfallError) -> str:
    """S3's code of what lies beneath an error; empty if it isn't S3's."""
    return str(getattr(error.__cause__, "response", {}).get("Error", {}).get("Code", ""))


def note_try(response: Any = None, caught_exception: Exception | None = None, **_: Any) -> None:
    """Note what came of one try of a request: botocore calls this after each. ``response`` is its own pair of answers."""
    # As above, importing it here saves 3 ms.
    from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

    is_lost = isinstance(caught_exception, ConnectionClosedError | ReadTimeoutError)
    if is_lost or (response is not None and response[0].status_code >= 500):
        _may_be_done.set(True)
