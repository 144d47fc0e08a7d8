"""Temporary credentials of S3, for clients that speak to S3 themselves: the AWS CLI, rclone, Uppy."""

from dataclasses import dataclass

from chalicelib.catalog.session_policies import Access, TemporaryCredentials, session_policy
from chalicelib.errors import Forbidden, NotFound
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.accounts.trail import note_about
from chalicelib.services.context import Context

# What STS allows: at least so long, and at most an hour if a role (the function's) assumes a role.
MIN_SECONDS = 900
MAX_SECONDS = 3_600


@dataclass(frozen=True, slots=True)
class GivenCredentials:
    """Credentials, and what they are for: the objects of ``bucket`` below ``prefix``."""

    credentials: TemporaryCredentials
    bucket: str
    region: str
    prefix: str


def give_credentials(ctx: Context, seconds: int) -> GivenCredentials:
    """Credentials for the caller's own prefix, ``{user id}/``, or for that of its API key.

    They are for reading, for writing, or for both, as the key is.
    They last for ``seconds``, or until the key expires. Nobody can take them back before that.

    Raises:
        NotFound: this deployment gives none. Forbidden: the key is for a session, for other files, or expires too soon.
        Unprocessable: IAM can't be told of the key's prefix. StoreUnavailable: STS doesn't answer, or refuses.
    """
    role, principal = ctx.settings.credentials_role, ctx.principal
    if role is None:
        raise NotFound("This deployment gives no credentials of S3: upload by POST /api/files.")
    access = Access(
        bucket=ctx.settings.bucket,
        prefix=_own_prefix(principal),
        reads=principal.has_scope("read"),
        writes=principal.has_scope("write"),
        partition=role.split(":")[1],
    )
    lasting = _seconds(ctx, seconds)
    with ctx.transaction() as tx:
        note_about(tx, "make_credentials", None)
    given = ctx.store.credentials.assume(role, str(principal.user_id), session_policy(access), lasting)
    return GivenCredentials(given, access.bucket, ctx.settings.region, access.prefix)


def _own_prefix(principal: Principal) -> str:
    """What the caller's own prefix and its key's have in common."""
    if principal.session_id is not None:
        raise Forbidden("This API key is for a session, and S3 knows no sessions.")
    own = f"{principal.user_id}/"
    prefix = principal.prefix
    if prefix is None or own.startswith(prefix):
        return own
    if not prefix.startswith(own):
        raise Forbidden(f"S3 credentials are for what is below {own}, and this API key is for files below {prefix}.")
    return prefix


def _seconds(ctx: Context, wanted: int) -> int:
    key = ctx.principal.key
    if key is None or key.expires_at is None:
        return wanted
    left = int((key.expires_at - ctx.now).total_seconds())
    if left < MIN_SECONDS:
        raise Forbidden(f"The API key expires within {MIN_SECONDS} s, and no credentials are that short.")
    return min(wanted, left)
