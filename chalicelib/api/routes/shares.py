"""Routes of share links."""

from dataclasses import asdict

from chalicelib.api.http.endpoint import ADMIN, Call, Reply, endpoint
from chalicelib.api.http.pages import page_reply
from chalicelib.api.schemas.common import Page, PageQuery
from chalicelib.api.schemas.files import DownloadOut, FilePath
from chalicelib.api.schemas.shares import ShareCreate, ShareCreated, ShareOut, SharePath, TokenPath
from chalicelib.errors import Conflict, Forbidden, InvalidCursor, NotFound, StoreUnavailable
from chalicelib.services.files import sharing


@endpoint(
    needs=ADMIN,
    path=FilePath,
    body=ShareCreate,
    response=ShareCreated,
    status=201,
    errors=(NotFound, Forbidden, Conflict),
)
def create_share(call: Call[FilePath, None, ShareCreate]) -> Reply:
    """Share a file with people without an account.

    Anybody who has the `url` can download the file's current version. The `url` is shown only this once.
    """
    new = sharing.create_share(call.tx, call.path.file_id, call.body.seconds, call.body.max_uses)
    shown = ShareOut.model_validate(new.share).model_dump()
    url = f"{call.base_url}/api/shared/{new.token}"
    return Reply(shown | {"url": url}, 201, {"Location": f"{call.base_url}/api/shares/{new.share.id}"})


@endpoint(path=FilePath, query=PageQuery, response=Page[ShareOut], errors=(NotFound, Forbidden, InvalidCursor))
def list_shares(call: Call[FilePath, PageQuery, None]) -> Reply:
    """List a file's share links, including ended ones."""
    return page_reply(call, sharing.list_shares(call.tx, call.path.file_id, call.query.limit, call.query.cursor))


@endpoint(path=SharePath, response=None, status=204, errors=(NotFound,))
def revoke_share(call: Call[SharePath, None, None]) -> None:
    """Revoke a share link."""
    sharing.revoke_share(call.tx, call.path.share_id)


@endpoint(
    path=TokenPath, response=DownloadOut, status=302, also=(200,), anonymous=True, errors=(NotFound, StoreUnavailable)
)
def open_share(call: Call[TokenPath, None, None]) -> Reply:
    """Download a shared file.

    302 to a presigned link. A HEAD, which programs send to preview links, doesn't count as a use, and is answered
    without the link.
    """
    counts = call.exchange.method != "HEAD"
    link = sharing.open_share(call.tx, call.path.token, counts)
    return Reply(asdict(link), 302, {"Location": link.url}) if counts else Reply(asdict(link), 200)
