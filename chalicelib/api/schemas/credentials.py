"""Temporary credentials of S3, as clients receive them: in the words of AWS, as Uppy 5 and the AWS CLI expect them."""

from datetime import datetime

from pydantic import AliasChoices, Field

from chalicelib.api.schemas.common import Input, Output
from chalicelib.services.accounts.credentials import MAX_SECONDS, MIN_SECONDS


class CredentialsQuery(Input):
    """How long they last."""

    seconds: int = Field(
        MAX_SECONDS, ge=MIN_SECONDS, le=MAX_SECONDS, description="At most so long, and not longer than your API key."
    )


class CredentialsOut(Output):
    """What S3 knows a client by."""

    AccessKeyId: str = Field(validation_alias=AliasChoices("access_key_id", "AccessKeyId"))
    SecretAccessKey: str = Field(validation_alias=AliasChoices("secret_access_key", "SecretAccessKey"))
    SessionToken: str = Field(validation_alias=AliasChoices("session_token", "SessionToken"))
    Expiration: datetime = Field(validation_alias=AliasChoices("expires_at", "Expiration"))


class GivenCredentialsOut(Output):
    """Credentials, and where they count."""

    credentials: CredentialsOut
    bucket: str
    region: str
    prefix: str = Field(description="Every key must begin with this.")
