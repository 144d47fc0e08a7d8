"""What a page needs to know before anybody has signed in. None of it is secret."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chalicelib.services.context import Context


@dataclass(frozen=True, slots=True)
class SignIn:
    """How people sign in here: see `chalicelib.api.schemas.identity.IdentityOut`."""

    mode: Literal["demo", "oidc", "none"]
    issuers: Sequence[str]
    client_id: str | None
    scopes: Sequence[str]
    audience: str | None


def sign_in(ctx: Context) -> SignIn:
    """How people sign in at this deployment.

    A token that is meant for its client needs no audience said: that is so with Cognito, whose tokens name the client.
    """
    options = ctx.settings
    audience = next((one for one in options.oidc_audiences if one != options.oidc_client_id), None)
    is_for_client = options.oidc_client_id in options.oidc_audiences
    return SignIn(
        mode=options.identity,
        issuers=options.oidc_issuers,
        client_id=options.oidc_client_id,
        scopes=options.oidc_scopes if options.oidc_issuers else (),
        audience=None if is_for_client else audience,
    )
