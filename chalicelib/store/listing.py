"""Listings of versions, a page at a time.

The XML of a page is read here: botocore needs ten times as long for it, which an audit of a large bucket would wait for.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element, ParseError, XMLParser

from chalicelib.catalog.objects import ListedVersion
from chalicelib.errors import StoreUnavailable

_EVENT = "before-parse.s3.*"
_BODY = "LandfallBody"
_AGAIN = "The object store lists the same versions again and again."
_keeps_body = ContextVar("_keeps_body", default=False)  # the client is not ours alone
_KINDS = {"Version": False, "DeleteMarker": True}
_TRIES = 4
_FIRST_PAUSE = 0.2  # seconds; doubled each time
_key = attrgetter("key")
_MANY_OBJECTS = 100_000


@contextmanager
def rarely_collecting() -> Iterator[None]:
    """Have Python look for garbage less often, where pages are listed by the thousand.

    A page's XML is ten thousand objects, which hold each other in no circle and so are never garbage. To look through them, and
    through all that the process has imported, took a third of the time of a page.
    """
    first, *others = gc.get_threshold()
    gc.set_threshold(max(first, _MANY_OBJECTS), *others)
    try:
        yield
    finally:
        if first < _MANY_OBJECTS:  # else another thread has begun this, and ends it
            gc.set_threshold(first, *others)


def keep_bodies(client: Any) -> None:
    """Have a client of S3 hand over listings as they come. To be called before anything is asked of it.

    botocore's first look at an answer, whether a 200 tells of an error after all, would parse all of it, so ours goes before.
    """
    # Importing it here saves 3 ms where no store is used. In Lambda, botocore is what the runtime has:
    # if one day it has another name for this, listings are only slower.
    from botocore import handlers

    look = getattr(handlers, "_handle_200_error", None)
    events = client.meta.events
    if look is not None:
        events.unregister(_EVENT, look)
    events.register_first(_EVENT, _keep_body, unique_id="landfall-listing")
    if look is not None:
        events.register_first(_EVENT, look)


def listed_pages(client: Any, **what: Any) -> Iterator[list[ListedVersion]]:
    """The pages of a listing, each in the order of keys, with a key's versions newest first as far as the store tells.

    ``what``: parameters of ``ListObjectVersions``; with a ``KeyMarker``, keys up to it are left out.

    Where a store has no versions to list, its objects are the only versions of their keys. A key with a NUL is left out: no
    catalogue can hold it.

    Raises:
        StoreUnavailable: what comes is no listing, or the same again and again. Botocore's errors.
    """
    pages = _version_pages(client, **what)
    try:
        first = next(pages)
    except Exception as error:  # botocore's own error would have to be imported by all who import this
        if not _is_unknown(error):
            raise
        yield from map(_without_nul, _object_pages(client, **what))
        return
    yield _without_nul(first)
    yield from map(_without_nul, pages)


def _without_nul(page: list[ListedVersion]) -> list[ListedVersion]:
    return [one for one in page if "\x00" not in one.key]


def _is_unknown(error: Exception) -> bool:
    """Whether a store says that it has no such request."""
    answer = getattr(error, "response", None) or {}  # botocore's own errors of connections have a response that is None
    return bool(answer.get("ResponseMetadata", {}).get("HTTPStatusCode") == 501)


def _object_pages(client: Any, **what: Any) -> Iterator[list[ListedVersion]]:
    limits = {"PaginationConfig": {"PageSize": what.pop("MaxKeys")}} if "MaxKeys" in what else {}
    start = {"StartAfter": after} if (after := what.pop("KeyMarker", "")) else {}
    for page in client.get_paginator("list_objects_v2").paginate(**what, **start, **limits):
        yield [
            ListedVersion(
                key=entry["Key"],
                version_id="",
                is_marker=False,
                is_latest=True,
                modified=entry["LastModified"],
                size=entry["Size"],
                etag=entry.get("ETag", "").strip('"'),
            )
            for entry in page.get("Contents", [])
        ]


def _version_pages(client: Any, **what: Any) -> Iterator[list[ListedVersion]]:
    after = what.pop("KeyMarker", "")
    before: set[tuple[str, str]] = set()
    position = {"KeyMarker": after} if after else {}
    last, asked = "", set[str]()  # the positions within the last key
    while True:
        page, entries = _page(client, what | position)
        listed = sorted(entries, key=_key)  # by code points, which is the order of UTF-8's bytes
        # The emulator begins a page with the object that ended the page before.
        new = [one for one in listed if (one.key, one.version_id) not in before and one.key > after]
        prefix = what.get("Prefix", "")
        yield (
            [one for one in new if one.key.startswith(prefix)] if prefix else new
        )  # whatever the store makes of a prefix
        if page.findtext("IsTruncated") != "true":
            return
        names = {(one.key, one.version_id) for one in listed}
        if not listed or listed[-1].key < last or names <= before:
            raise StoreUnavailable(_AGAIN)
        before, position = names, _next_position(page, listed[-1].key)
        if listed[-1].key != last:
            last, asked = listed[-1].key, set()
        if str(position) in asked:
            raise StoreUnavailable(_AGAIN)
        asked.add(str(position))


def _keep_body(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:  # as botocore calls it
    """Take a listing's XML away before botocore parses it. The answers to failed requests, and to other callers, stay."""
    if _keeps_body.get() and response_dict["status_code"] == 200:
        customized_response_dict[_BODY] = response_dict["body"]
        response_dict["body"] = b"<ListVersionsResult/>"


def _page(client: Any, parameters: dict[str, Any]) -> tuple[Element, list[ListedVersion]]:
    """One page, and what it lists. A listing that breaks off, or is none at all, is asked for again."""
    for attempt in range(_TRIES):
        # Asked for by us, and not by botocore, the encoding is not undone by botocore.
        token = _keeps_body.set(True)
        try:
            body = client.list_object_versions(EncodingType="url", **parameters)[_BODY]
        finally:
            _keeps_body.reset(token)
        try:
            page = _parsed(body)
            if page.tag == "ListVersionsResult" and page.find("IsTruncated") is not None:
                return page, [_listed(entry) for entry in page if entry.tag in _KINDS]
        except (ParseError, ValueError, KeyError):
            pass
        time.sleep(_FIRST_PAUSE * 2**attempt)
    raise StoreUnavailable("The object store's listing could not be read.")


def _parsed(body: bytes) -> Element:
    """The document's root, with no namespaces: stores name different ones, or none."""
    parser = XMLParser()
    parser.feed(body)
    root: Element = parser.close()
    if root.tag.startswith("{"):
        length = root.tag.index("}") + 1
        for element in root.iter():
            element.tag = element.tag[length:]
    return root


def _next_position(page: Element, last_key: str) -> dict[str, str]:
    """Where the next page begins, as a request takes it.

    Ceph doesn't encode the key here, unlike the keys that it lists. To decode a ``+`` or a ``%2F`` in it would lead to another
    key.
    """
    key = page.findtext("NextKeyMarker") or ""
    position = {"KeyMarker": last_key if key in ("", last_key) else unquote_plus(key)}
    version_id = page.findtext("NextVersionIdMarker")
    return position | {"VersionIdMarker": version_id} if version_id else position


def _listed(entry: Element) -> ListedVersion:
    fields = {child.tag: child.text for child in entry}
    version_id = fields.get("VersionId") or "null"
    is_marker = _KINDS[entry.tag]
    size = None if is_marker else fields.get("Size")  # MinIO gives delete markers one
    modified = datetime.fromisoformat(fields["LastModified"] or "")
    key = fields["Key"] or ""
    return ListedVersion(
        unquote_plus(key) if "%" in key else key.replace("+", " "),
        "" if version_id == "null" else version_id,
        is_marker,
        fields["IsLatest"] == "true",
        modified if modified.tzinfo is UTC else modified.astimezone(UTC),
        int(size) if size else None,
        (fields.get("ETag") or "").strip('"'),
    )
