"""Botocore's errors in Landfall's words."""

from collections.abc import Iterator
from contextlib import contextmanager

from chalicelib.errors import (
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


@contextmanager
def translating(doing: str, missing: type[NotFound] | type[StoreUnavailable] = NotFound) -> Iterator[None]:
    """Raise Landfall's errors for botocore's. Botocore's texts stay in the causes, because they may hold keys and hosts.

    ``missing`` is the error to raise if there is no such object, version or upload.
    """
    # Importing it here saves 3 ms where no link is signed and S3 isn't asked for anything.
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ReadTimeoutError

    try:
        yield
    except ClientError as error:
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
        raise StoreUnavailable(f"The object store could not {doing}: it does not answer.") from error
