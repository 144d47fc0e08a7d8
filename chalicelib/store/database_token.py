"""Logging in to RDS and Aurora with an IAM identity in place of a password.

A token is a presigned request. It is made here, without a request to AWS: see "IAM database authentication" in the
Amazon RDS user guide.
"""

from collections.abc import Callable

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.session import get_session

# The longest that RDS accepts. A token must be valid when a connection is made; an open connection may stay.
_SECONDS = 900
_SCHEME = "https://"


def token_signer(host: str, port: int, user: str, region: str) -> Callable[[], str]:
    """A function that makes passwords for ``user`` with this process's AWS credentials, each valid for 15 minutes.

    It does the same as ``boto3.client("rds").generate_db_auth_token``, whose client takes longer to make than a query
    takes.
    """
    credentials = get_session().get_credentials()

    def sign() -> str:
        request = AWSRequest("GET", f"{_SCHEME}{host}:{port}/", params={"Action": "connect", "DBUser": user})
        SigV4QueryAuth(credentials, "rds-db", region, expires=_SECONDS).add_auth(request)
        return str(request.url).removeprefix(_SCHEME)

    return sign
