"""Routes of the identities of deleted users."""

from chalicelib.api.http.endpoint import ADMIN, Call, Reply, endpoint
from chalicelib.api.http.pages import page_reply
from chalicelib.api.schemas.barred_identities import BarredIdentityOut, BarredIdentityPath
from chalicelib.api.schemas.common import Page, PageQuery
from chalicelib.errors import Forbidden, InvalidCursor, NotFound
from chalicelib.services.accounts import barred_identities


@endpoint(needs=ADMIN, query=PageQuery, response=Page[BarredIdentityOut], errors=(InvalidCursor, Forbidden))
def list_barred_identities(call: Call[None, PageQuery, None]) -> Reply:
    """List identities of deleted users.

    Only for operators. In the order of their deletion. Whoever signs in with one gets 403 (`account-disabled`), and is no new
    user.
    """
    return page_reply(call, barred_identities.list_barred(call.tx, call.query.limit, call.query.cursor))


@endpoint(needs=ADMIN, path=BarredIdentityPath, response=None, status=204, errors=(NotFound, Forbidden))
def admit_identity(call: Call[BarredIdentityPath, None, None]) -> None:
    """Let the identity of a deleted user sign in again.

    Only for operators. It is a new user then, with nothing of the deleted one.
    """
    barred_identities.admit_barred(call.tx, call.path.identity_id)
