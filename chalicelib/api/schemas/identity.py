"""How to sign in, as clients receive it."""

from typing import Literal

from pydantic import Field

from chalicelib.api.schemas.common import Output


class IdentityOut(Output):
    """How people sign in: by OpenID Connect, authorization code with PKCE."""

    mode: Literal["demo", "oidc", "none"] = Field(
        description="`oidc`: with a token of a provider; `demo`: nobody needs to; `none`: nobody can."
    )
    issuers: list[str] = Field(description="Providers whose tokens are taken. A page signs in with the first.")
    client_id: str | None = Field(description="The page's client id there; null: no page is known to the provider.")
    scopes: list[str] = Field(description="What to ask for as `scope`.")
    audience: str | None = Field(
        description="What to ask for as `audience`, where a provider wants it; null: a token for the client will do."
    )
