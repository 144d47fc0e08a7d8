"""An identity provider without passwords: made-up people, codes, tokens. For laptops alone; `dev.provider` serves it.

Sources: RFC 6749 (authorization code), RFC 7636 (PKCE), RFC 9700 (what is refused), OpenID Connect Core 1.0.
"""

import base64
import hashlib
import json
import re
import secrets
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

AUDIENCE = "landfall"
# Suggested in the form; any other name does as well. The first one is an operator.
PEOPLE = ("ada", "grace", "linus")
_CODE_SECONDS = 60
_TOKEN_SECONDS = 600
_REFRESH_SECONDS = 30 * 86_400
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Refused(Exception):
    """What the caller gets as ``error`` and ``error_description``, by RFC 6749."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error, self.description = error, description


@dataclass(frozen=True, slots=True)
class Request:
    """A page's request that somebody signs in, checked."""

    client_id: str
    redirect_uri: str
    challenge: str
    state: str
    nonce: str

    @classmethod
    def parse(cls, given: dict[str, str]) -> "Request":
        """Check the parameters of the authorization endpoint.

        Raises:
            Refused: one is missing, or leads away from this machine.
        """
        if given.get("response_type") != "code":
            raise Refused("unsupported_response_type", "response_type must be code.")
        if given.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(given.get("code_challenge", "")):
            raise Refused("invalid_request", "PKCE with code_challenge_method=S256 is needed.")
        if not given.get("client_id"):
            raise Refused("invalid_request", "client_id is missing.")
        require_near(given.get("redirect_uri", ""), "redirect_uri")
        values = (given.get(name, "") for name in ("client_id", "redirect_uri", "code_challenge", "state", "nonce"))
        return cls(*values)


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a code or a refresh token stands for. ``family`` is one sign-in and all that came of it."""

    request: Request
    subject: str
    family: str
    expires_at: float


class Authorization:
    """Everybody who asks is who they say. Signs with a key that ``home`` keeps, so that tokens outlive a restart."""

    def __init__(self, issuer: str, home: Path) -> None:
        self.issuer = issuer
        self._key = _kept_key(home)
        self._codes: dict[str, _Grant] = {}
        self._refreshes: dict[str, _Grant] = {}
        self._used: dict[str, str] = {}  # codes and refresh tokens that were used, and their families
        self._lock = threading.Lock()

    def description(self) -> dict[str, Any]:
        """What clients discover."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "end_session_endpoint": f"{self.issuer}/end-session",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "scopes_supported": ["openid", "email", "profile", "offline_access"],
        }

    def key_set(self) -> dict[str, Any]:
        """The public key."""
        return {"keys": [{**self._key.as_dict(private=False), "use": "sig", "alg": "ES256"}]}

    def sign_in(self, request: Request, name: str) -> str:
        """A code for somebody who says that this is their name. It is good once, for a minute.

        Raises:
            Refused: it is no name.
        """
        if not _NAME.fullmatch(name):
            raise Refused("access_denied", "A name is 1 to 64 of a-z, 0-9, dot, dash and underscore.")
        code = secrets.token_urlsafe(24)
        with self._lock:
            self._codes[code] = _Grant(request, name, secrets.token_urlsafe(12), time.time() + _CODE_SECONDS)
        return code

    def tokens(self, given: dict[str, str]) -> dict[str, Any]:
        """What the token endpoint answers.

        Raises:
            Refused: the code, the refresh token or the verifier isn't good. If one was used before, somebody has stolen
                it, and everything that came of that sign-in ends.
        """
        kind = given.get("grant_type")
        if kind not in ("authorization_code", "refresh_token"):
            raise Refused("unsupported_grant_type", "grant_type is authorization_code or refresh_token.")
        with self._lock:
            grant = self._redeem_code(given) if kind == "authorization_code" else self._redeem_refresh(given)
            return self._issue(grant, is_new=kind == "authorization_code")

    def sign_out(self, id_token: str) -> None:
        """End the sign-in that an ID token is of. Access tokens end by themselves, within ten minutes."""
        try:
            claims = jwt.decode(id_token, self._key, algorithms=["ES256"]).claims
        except (JoseError, ValueError):
            return
        with self._lock:
            self._end(str(claims.get("sid")))

    def _redeem_code(self, given: dict[str, str]) -> _Grant:
        grant = self._take(self._codes, given.get("code", ""))
        request = grant.request
        if given.get("client_id") != request.client_id or given.get("redirect_uri") != request.redirect_uri:
            raise Refused("invalid_grant", "The code was made for another client_id or redirect_uri.")
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        if not secrets.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), request.challenge):
            raise Refused("invalid_grant", "The code_verifier is not that of the code_challenge.")
        return grant

    def _redeem_refresh(self, given: dict[str, str]) -> _Grant:
        grant = self._take(self._refreshes, given.get("refresh_token", ""))
        if given.get("client_id") != grant.request.client_id:
            raise Refused("invalid_grant", "The refresh token is another client's.")
        return grant

    def _take(self, grants: dict[str, _Grant], secret: str) -> _Grant:
        if family := self._used.get(secret):
            self._end(family)
        grant = grants.pop(secret, None)
        if grant is None or grant.expires_at < time.time():
            raise Refused("invalid_grant", "The code or refresh token is unknown, used, or has expired.")
        self._used[secret] = grant.family
        return grant

    def _end(self, family: str) -> None:
        for secret in [one for one, grant in self._refreshes.items() if grant.family == family]:
            del self._refreshes[secret]

    def _issue(self, grant: _Grant, *, is_new: bool) -> dict[str, Any]:
        now, request = int(time.time()), grant.request
        who = {"name": grant.subject.title(), "email": f"{grant.subject}@example.org", "email_verified": True}
        said = {"iss": self.issuer, "sub": grant.subject, "iat": now, "exp": now + _TOKEN_SECONDS, "sid": grant.family}
        refresh = secrets.token_urlsafe(32)
        self._refreshes[refresh] = replace(grant, expires_at=now + _REFRESH_SECONDS)
        nonce = {"nonce": request.nonce} if is_new and request.nonce else {}
        access = {**said, **who, "aud": AUDIENCE, "client_id": request.client_id, "jti": secrets.token_urlsafe(12)}
        return {
            "access_token": self._signed("at+jwt", access),
            "id_token": self._signed("JWT", {**said, **who, **nonce, "aud": request.client_id}),
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": _TOKEN_SECONDS,
        }

    def _signed(self, kind: str, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "ES256", "kid": self._key.kid, "typ": kind}, claims, self._key)


def require_near(url: str, name: str) -> None:
    """Refuse to send a browser anywhere but to this machine.

    Raises:
        Refused: the URL leads elsewhere, or is none.
    """
    try:
        parts = urlsplit(url)
        is_near = parts.scheme in ("http", "https") and parts.hostname in _LOOPBACK and not parts.fragment
    except ValueError:
        is_near = False
    if not is_near:
        raise Refused("invalid_request", f"{name} must be a URL on this machine.")


def _kept_key(home: Path) -> ECKey:
    path = home / "provider-key.json"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(json.dumps(ECKey.generate_key("P-256", {"kid": secrets.token_hex(8)}).as_dict(private=True)))
    return ECKey.import_key(json.loads(path.read_text()))
