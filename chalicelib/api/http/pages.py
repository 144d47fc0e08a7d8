"""Lists over HTTP: `Page` bodies with a ``Link`` to the next page (RFC 8288)."""

import json
from urllib.parse import urlencode

from chalicelib.api.http.endpoint import JsonText, Reply, Request
from chalicelib.db.pages import Page


def page_reply(call: Request, page: Page, **also: int) -> Reply:
    """One page, with a link to the next one if there is one: this request's own query with another cursor.

    ``also``: what the answer holds beside the page.
    """
    rest = json.dumps({"next_cursor": page.next_cursor, **also}, separators=(",", ":"))
    body = JsonText(f'{{"items":{page.items},{rest[1:]}')
    if page.next_cursor is None:
        return Reply(body)
    query = call.exchange.query_values | {"cursor": [page.next_cursor]}
    target = f"{call.base_url}{call.exchange.url_path}?{urlencode(query, doseq=True)}"
    return Reply(body, headers={"Link": f'<{target}>; rel="next"'})
