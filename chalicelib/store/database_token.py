"""Logging in to RDS and Aurora with an IAM identity in place of a password.

A token is a presigned request, made here without asking anybody: "IAM database authentication" of the Amazon RDS user guide.
"""

from collections.abc import Callable

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.session import get_session

# The longest RDS takes. It counts when a connection is made; one that is open may stay.
_SECONDS = 900
_SCHEME = "https://"


def token_signer(host: str, port: int, user: str, region: str) -> Callable[[], str]:
    """Makes passwords for ``user``, each good for 15 minutes, with this process's own AWS credentials.

    The same as ``boto3.client("rds").generate_db_auth_token``, whose client alone takes longer to make than a query.
    """
    credentials = get_session().get_credentials()

    def sign() -> str:
        request = AWSRequest("GET", f"{_SCHEME}{host}:{port}/", params={"Action": "connect", "DBUser": user})
        SigV4QueryAuth(credentials, "rds-db", region, expires=_SECONDS).add_auth(request)
        return str(request.url).removeprefix(_SCHEME)

    return sign
