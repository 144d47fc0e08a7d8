"""The database's password from Secrets Manager, so that no environment holds it."""

import json
from collections.abc import Callable

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from chalicelib.errors import DatabaseUnavailable

_PATIENCE = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})


def secret_reader(secret: str, region: str) -> Callable[[], str]:
    """A function that reads the password from a secret, by name or ARN. It asks for each new connection: a rotated one counts.

    The secret is text: the password itself, or a JSON object with it under ``password``, as RDS writes it.

    Its errors: `DatabaseUnavailable`, without the secret, if it can't be read or holds no password.
    """
    client = get_session().create_client("secretsmanager", region_name=region, config=_PATIENCE)

    def read() -> str:
        try:
            text = client.get_secret_value(SecretId=secret).get("SecretString", "")
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise DatabaseUnavailable(f"The database's password can't be read from Secrets Manager: {code}.") from error
        except BotoCoreError as error:
            raise DatabaseUnavailable("Secrets Manager, which has the database's password, doesn't answer.") from error
        if not (password := _password(text)):
            raise DatabaseUnavailable("The database's secret holds no password.")
        return password

    return read


def _password(text: str) -> str:
    if not text.startswith("{"):
        return text
    try:
        return str(json.loads(text).get("password") or "")
    except ValueError:
        return text
