"""Lists over HTTP: `Page` bodies with a ``Link`` to the next page (RFC 8288)."""

from typing import Any
from urllib.parse import urlencode

from chalicelib.api.endpoint import Call, Reply
from chalicelib.api.schemas.common import Page as Page
from chalicelib.api.schemas.common import PageQuery as PageQuery
from chalicelib.db.pages import Slice


def page_reply(call: Call, found: Slice[Any], is_ready: bool = False) -> Reply:
    """One page, with a link to the next one if there is one: this request's own query with another cursor."""
    body = {"items": found.items, "next_cursor": found.next_cursor}
    if found.next_cursor is None:
        return Reply(body, is_ready=is_ready)
    query = call.exchange.query_values | {"cursor": [found.next_cursor]}
    target = f"{call.base_url}{call.url_path}?{urlencode(query, doseq=True)}"
    return Reply(body, headers={"Link": f'<{target}>; rel="next"'}, is_ready=is_ready)
