"""Routes of share links."""

from dataclasses import asdict

from chalice.app import Blueprint

from chalicelib import runtime
from chalicelib.api.endpoint import JSON, Call, Reply, endpoint
from chalicelib.api.pages import Page, PageQuery, page_reply
from chalicelib.api.schemas.files import DownloadOut, FilePath
from chalicelib.api.schemas.management import ShareCreate, ShareCreated, ShareOut, SharePath, TokenPath
from chalicelib.errors import Conflict, InvalidCursor, NotFound, StoreUnavailable

routes = Blueprint(__name__)


@routes.route("/api/files/{file_id}/shares", methods=["POST"], **JSON)
@endpoint(path=FilePath, body=ShareCreate, response=ShareCreated, status=201, errors=(NotFound, Conflict))
def create_share(call: Call[FilePath, None, ShareCreate]) -> Reply:
    """Share a file with people without an account.

    `url` downloads the file's current version, for whoever has it. It is shown this once.
    """
    from chalicelib.services import shares

    body = call.body
    new = shares.create_share(call.session, call.principal, call.path.file_id, body.seconds, body.max_uses, call.now)
    shown = ShareOut.model_validate(new.share).model_dump()
    url = f"{call.base_url}/api/shared/{new.token}"
    return Reply(shown | {"url": url}, 201, {"Location": f"{call.base_url}/api/shares/{new.share.id}"})


@routes.route("/api/files/{file_id}/shares", methods=["GET"], **JSON)
@endpoint(path=FilePath, query=PageQuery, response=Page[ShareOut], errors=(NotFound, InvalidCursor))
def list_shares(call: Call[FilePath, PageQuery, None]) -> Reply:
    """List a file's share links, spent ones among them."""
    from chalicelib.services import shares

    query = call.query
    return page_reply(
        call, shares.list_shares(call.session, call.principal, call.path.file_id, query.limit, query.cursor)
    )


@routes.route("/api/shares/{share_id}", methods=["DELETE"], **JSON)
@endpoint(path=SharePath, response=None, status=204, errors=(NotFound,))
def revoke_share(call: Call[SharePath, None, None]) -> None:
    """Revoke a share link."""
    from chalicelib.services import shares

    shares.revoke_share(call.session, call.principal, call.path.share_id, call.now)


@routes.route("/api/shared/{token}", methods=["GET"], **JSON)
@endpoint(
    path=TokenPath, response=DownloadOut, status=302, also=(200,), anonymous=True, errors=(NotFound, StoreUnavailable)
)
def open_share(call: Call[TokenPath, None, None]) -> Reply:
    """Download a shared file.

    302 to a presigned link. A HEAD, which programs send to preview links, is no use of it, and is answered without the link.
    """
    from chalicelib.services import shares

    counts = call.exchange.method != "HEAD"
    link = shares.open_share(call.session, runtime.store(), call.path.token, counts, call.now)
    return Reply(asdict(link), 302, {"Location": link.url}) if counts else Reply(asdict(link), 200)
