"""An identity provider: keys that it publishes, and tokens that it signs."""

import json
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from tests.support.secrets import secret


class Provider:
    """Signs with the newest of its keys."""

    def __init__(self, url: str, audience: str = "landfall") -> None:
        self.url, self.audience = url, audience
        self.keys = [ECKey.generate_key("P-256", {"kid": "first"})]

    def rotate(self, name: str) -> None:
        """Have a new key, and keep the old ones."""
        self.keys.append(ECKey.generate_key("P-256", {"kid": name}))

    def key_set(self) -> bytes:
        """What it publishes: a JSON Web Key Set."""
        return json.dumps({"keys": [key.as_dict(private=False) for key in self.keys]}).encode()

    def token(self, subject: str, now: float, **claims: Any) -> str:
        """A token for somebody, for ten minutes from ``now`` on (seconds since 1970)."""
        said = {"iss": self.url, "sub": subject, "aud": self.audience, "iat": int(now), "exp": int(now) + 600}
        if "email" in claims:
            said["email_verified"] = True
        key = self.keys[-1]
        return secret(jwt.encode({"alg": "ES256", "kid": key.kid, "typ": "at+jwt"}, said | claims, key))
