"""The route that tells a page how to sign in."""

from chalicelib.api.http.endpoint import Reply, StepwiseCall, stepwise_endpoint
from chalicelib.api.schemas.identity import IdentityOut
from chalicelib.services.accounts.sign_in import sign_in

# It changes with a deployment alone.
_KEPT = {"Cache-Control": "public, max-age=300"}


@stepwise_endpoint(response=IdentityOut, anonymous=True)
def get_identity(call: StepwiseCall[None, None, None]) -> Reply:
    """Read how to sign in.

    For everybody, before anybody has signed in.
    """
    return Reply(sign_in(call.ctx), headers=_KEPT)
