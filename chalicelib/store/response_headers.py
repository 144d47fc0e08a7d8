"""What a presigned download has S3 answer: under which name, as which type, and whether a browser shows or saves it."""

from urllib.parse import quote

from chalicelib.catalog.media_types import essence

DEFAULT_MEDIA_TYPE = "application/octet-stream"

# Only types that a browser shows without running anything in them. A list of dangerous types (HTML, SVG, XML,
# JavaScript, XHTML, ...) would never be complete, so what is not in this list is saved, not shown.
_SHOWN_FAMILIES = ("audio/", "image/", "video/")
_SHOWN = {"application/json", "application/pdf", "text/csv", "text/plain"}
_RUNS = "+xml"  # image/svg+xml


def response_headers(name: str, media_type: str | None, inline: bool) -> dict[str, str]:
    """The parameters of a GET's query that set the response's headers.

    The type is always set, so that a browser goes by the type that was judged here and not by another one that the
    object may carry. Parameters with a comma are left out: what follows it would be another type.

    >>> response_headers("é.txt", "text/plain", inline=True)["response-content-disposition"]
    'inline; filename="_.txt"; filename*=UTF-8\\'\\'%C3%A9.txt'
    """
    judged = essence(media_type or "") or DEFAULT_MEDIA_TYPE
    told = media_type if media_type and essence(media_type) and "," not in media_type else judged
    return {
        "response-content-type": told,
        "response-content-disposition": content_disposition(name, inline and is_harmless(judged)),
    }


def is_harmless(media_type: str) -> bool:
    """Whether a browser may show this type on the bucket's origin."""
    name = essence(media_type)
    return name in _SHOWN or (name.startswith(_SHOWN_FAMILIES) and not name.endswith(_RUNS))


def content_disposition(name: str, inline: bool) -> str:
    """RFC 6266: the name in UTF-8, and an ASCII one for clients that don't know it. Slashes would look like folders."""
    name = name.replace("/", "_").replace("\\", "_")
    # RFC 6266, appendix D: old clients decode percent signs in the plain form, and quotes would end it.
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"%' else "_" for c in name)
    kind = "inline" if inline else "attachment"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
