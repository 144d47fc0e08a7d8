"""Routes of the trail."""

from chalicelib.api.http.endpoint import Call, Reply, endpoint
from chalicelib.api.http.pages import page_reply
from chalicelib.api.schemas.common import Page, PageQuery
from chalicelib.api.schemas.files import FilePath
from chalicelib.api.schemas.trail import ActOut, TrailQuery
from chalicelib.errors import Forbidden, InvalidCursor, NotFound, TooBroad
from chalicelib.services.accounts import trail
from chalicelib.services.files import reading


@endpoint(query=TrailQuery, response=Page[ActOut], errors=(InvalidCursor, Forbidden, TooBroad))
def list_trail(call: Call[None, TrailQuery, None]) -> Reply:
    """List who did what.

    The latest comes first. Members see what was done to their own files and accounts, operators see everything. What S3 told of a
    file isn't in this list, but in the file's own trail.
    """
    query = call.query
    return page_reply(call, trail.list_acts(call.tx, query.filters, query.limit, query.cursor))


@endpoint(path=FilePath, query=PageQuery, response=Page[ActOut], errors=(NotFound, InvalidCursor))
def list_file_trail(call: Call[FilePath, PageQuery, None]) -> Reply:
    """List who did what to a file, and what S3 told of it.

    The latest comes first. Only for the file's owner and operators. The file may be deleted. What also takes the object store is
    noted before that is asked, so an act that failed may be listed, and the event that follows an act says that it happened.
    """
    return page_reply(call, reading.list_trail(call.tx, call.path.file_id, call.query.limit, call.query.cursor))
