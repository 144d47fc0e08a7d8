"""Temporary credentials of S3, from AWS's Security Token Service (STS)."""

from typing import Any

from chalicelib.catalog.session_policies import TemporaryCredentials
from chalicelib.errors import Refused, StoreUnavailable, Unprocessable
from chalicelib.store.failures import translating


class CredentialIssuer:
    """Gives credentials that may do what a role may, as far as a session policy allows it."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def assume(self, role: str, session_name: str, policy: str, seconds: int) -> TemporaryCredentials:
        """Credentials for ``seconds`` (900 to 3,600). ``session_name`` is who has them, in AWS's own logs and events.

        Raises:
            Unprocessable: the policy is too large as STS packs it. StoreUnavailable.
        """
        asked = {"RoleArn": role, "RoleSessionName": session_name, "Policy": policy, "DurationSeconds": seconds}
        try:
            with translating("give credentials", missing=StoreUnavailable):
                given = self._client.assume_role(**asked)["Credentials"]
        except Refused as error:
            if error.code == "PackedPolicyTooLarge":
                raise Unprocessable("The prefix is too long for S3 credentials.") from error
            raise
        return TemporaryCredentials(
            given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], given["Expiration"]
        )
