"""`If-Match` and `If-None-Match` on files (RFC 9110, section 13): a lost update is refused instead of made."""

from collections.abc import Container

from chalicelib.api.http.endpoint import RequestHeader
from chalicelib.api.http.exchange import Exchange
from chalicelib.catalog.files import File

IF_MATCH = RequestHeader("If-Match", "The `ETag` of the state that the change is meant for. In another state: 412.")
IF_NONE_MATCH = RequestHeader(
    "If-None-Match", "The `ETag` of the state that the caller has. 304 if the file is still in that state."
)


class _Anything(Container[str]):
    """`If-Match: *`: every state of a file that exists."""

    def __contains__(self, revision: object) -> bool:
        return True


def etag(file: File) -> dict[str, str]:
    """The header that identifies this state of a file's row. The ETag of its bytes is a field of the file."""
    return {"ETag": f'"{file.revision}"'}


def expected(exchange: Exchange) -> Container[str] | None:
    """The first parts of the revisions at which the caller wants its change made; None if the caller doesn't say."""
    revisions = _revisions(exchange.headers.get(IF_MATCH.name))
    return {revision.partition("-")[0] for revision in revisions} if isinstance(revisions, set) else revisions


def is_known(exchange: Exchange, file: File) -> bool:
    """Whether the caller has this state of the file already."""
    known = _revisions(exchange.headers.get(IF_NONE_MATCH.name))
    return known is not None and file.revision in known


def _revisions(header: str | None) -> Container[str] | None:
    if header is None:
        return None
    if header.strip() == "*":
        return _Anything()
    # Weak ETags are accepted, too: a gateway that compresses an answer weakens its ETag.
    return {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")}
