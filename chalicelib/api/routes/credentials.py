"""The route of credentials for S3."""

from chalicelib.api.http.endpoint import StepwiseCall, stepwise_endpoint
from chalicelib.api.schemas.credentials import CredentialsQuery, GivenCredentialsOut
from chalicelib.errors import Forbidden, NotFound, StoreUnavailable, Unprocessable
from chalicelib.services.accounts import credentials
from chalicelib.services.accounts.credentials import GivenCredentials


@stepwise_endpoint(
    needs=("read", "write"),
    query=CredentialsQuery,
    response=GivenCredentialsOut,
    errors=(Forbidden, NotFound, Unprocessable, StoreUnavailable),
)
def give_credentials(call: StepwiseCall[None, CredentialsQuery, None]) -> GivenCredentials:
    """Get temporary credentials of S3.

    They are for objects whose keys begin with `prefix`: with `read` to get and list them, with `write` to put them. 404 if this
    deployment gives none. See docs/keys.md for the AWS CLI, rclone and Uppy.
    """
    return credentials.give_credentials(call.ctx, call.query.seconds)
