"""Routes of API keys."""

from chalicelib.api.http.endpoint import ADMIN, Call, Reply, endpoint
from chalicelib.api.http.pages import page_reply
from chalicelib.api.schemas.api_keys import ApiKeyCreate, ApiKeyCreated, ApiKeyOut, ApiKeyPath
from chalicelib.api.schemas.common import Page, PageQuery
from chalicelib.db.models import ApiKey
from chalicelib.errors import InvalidCursor, NotFound, Unprocessable
from chalicelib.services.accounts import api_keys
from chalicelib.services.accounts.api_keys import NewApiKey


@endpoint(needs=ADMIN, body=ApiKeyCreate, response=ApiKeyCreated, status=201, errors=(Unprocessable,))
def create_key(call: Call[None, None, ApiKeyCreate]) -> Reply:
    """Make an API key.

    It acts for you, as far as its scopes go. Its `secret` is shown only this once. A key that makes a key can't give it more than
    it has itself.
    """
    body = call.body
    new = NewApiKey(body.name, frozenset(body.scopes), body.prefix, body.session_id, body.expires_at)
    made = api_keys.create_key(call.tx, new)
    shown = ApiKeyOut.model_validate(made.row).model_dump()
    return Reply(shown | {"secret": made.secret}, 201, {"Location": f"{call.base_url}/api/keys/{made.row.id}"})


@endpoint(needs=ADMIN, query=PageQuery, response=Page[ApiKeyOut], errors=(InvalidCursor,))
def list_keys(call: Call[None, PageQuery, None]) -> Reply:
    """List API keys.

    In the order of their creation, with those that have ended. Members see their own keys, operators see everyone's.
    """
    return page_reply(call, api_keys.list_keys(call.tx, call.query.limit, call.query.cursor))


@endpoint(needs=ADMIN, path=ApiKeyPath, response=ApiKeyOut, errors=(NotFound,))
def get_key(call: Call[ApiKeyPath, None, None]) -> ApiKey:
    """Read an API key."""
    return api_keys.get_key(call.tx, call.path.key_id)


@endpoint(needs=ADMIN, path=ApiKeyPath, response=None, status=204, errors=(NotFound,))
def revoke_key(call: Call[ApiKeyPath, None, None]) -> None:
    """Revoke an API key.

    No later request can use it, nor a key that was made with it.
    """
    api_keys.revoke_key(call.tx, call.path.key_id)
