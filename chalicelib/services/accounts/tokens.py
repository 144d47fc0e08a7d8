"""Bearer tokens of OpenID Connect: whom one names, if it is what it says.

RFC 7519 (JSON Web Tokens), RFC 8725 (how they were attacked), RFC 9068 (access tokens).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.errors import Unauthenticated
from chalicelib.services.accounts.signing_keys import Signed, SigningKeys

MAX_BYTES = 16_384
LEEWAY_SECONDS = 60
# Algorithm: the type of the keys that it takes, and their curve. A token can't choose another pair.
_ALGORITHMS = {
    "RS256": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),  # the same, under its new name: RFC 9864
}
# Other types are made for other readers: logout tokens, security events, proofs of possession.
_TYPES = ("JWT", "AT+JWT", "APPLICATION/AT+JWT")


@dataclass(frozen=True, slots=True)
class Issuer:
    """An identity provider that is trusted. ``audiences``: whom its tokens must be meant for, one of these."""

    url: str
    audiences: tuple[str, ...]
    email_claim: str = "email"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token names. ``subject`` is the issuer's own name for somebody, and means nothing with another issuer."""

    issuer: str
    subject: str
    name: str | None
    email: str | None


def identity_of(token: str, issuers: Sequence[Issuer], keys: SigningKeys, now: datetime) -> Identity:
    """Whom a token names.

    Raises:
        Unauthenticated: it isn't genuine, isn't meant for this service, or isn't valid now. The message says why, and
            repeats nothing of the token. KeysUnavailable: nothing is known of its issuer's keys yet.
    """
    if len(token) > MAX_BYTES or not token.isascii():
        raise Unauthenticated("The token is too long, or no token.")
    signed = keys.recall(token)
    if signed is None:
        signed = _verified(token, issuers, keys)
        keys.remember(token, signed)
    issuer = _trusted(signed.issuer, issuers)
    _check_claims(signed.claims, issuer, now.timestamp())
    return Identity(
        issuer.url, signed.claims["sub"], _text(signed.claims.get("name")), _email(signed.claims, issuer.email_claim)
    )


def _verified(token: str, issuers: Sequence[Issuer], keys: SigningKeys) -> Signed:
    """What a token says, if a key of a trusted issuer has signed it."""
    from joserfc.errors import JoseError  # saves 120 ms of requests without a token
    from joserfc.jws import JWSRegistry, extract_compact, validate_compact

    registry = JWSRegistry(algorithms=list(_ALGORITHMS), strict_check_header=False)
    try:
        signed = extract_compact(token.encode(), registry=registry)
        header, claims = signed.headers(), json.loads(signed.payload)
    except (JoseError, ValueError, RecursionError):
        raise Unauthenticated("The token can't be read.") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise Unauthenticated("The token can't be read.")
    issuer = _trusted(claims.get("iss"), issuers)
    _check_header(header)
    key = keys.find(issuer.url, header["kid"])
    if key is None or not _fits(header["alg"], key):
        raise Unauthenticated("The token is signed with a key that its issuer doesn't have.")
    try:
        is_genuine = validate_compact(signed, key, algorithms=[header["alg"]], registry=registry)
    except (JoseError, ValueError):
        is_genuine = False
    if not is_genuine:
        raise Unauthenticated("The token's signature is wrong.")
    return Signed(issuer.url, header["kid"], key, claims)


def _trusted(named: Any, issuers: Sequence[Issuer]) -> Issuer:
    issuer = next((one for one in issuers if one.url == named), None)
    if issuer is None:
        raise Unauthenticated("The token is of an issuer that is not trusted here.")
    return issuer


def _check_header(header: dict[str, Any]) -> None:
    if not isinstance(header.get("alg"), str) or header["alg"] not in _ALGORITHMS:
        raise Unauthenticated(f"The token must be signed with {', '.join(_ALGORITHMS)}.")
    if not isinstance(header.get("kid"), str):
        raise Unauthenticated("The token doesn't name its key.")
    if "crit" in header or str(header.get("typ", "JWT")).upper() not in _TYPES:
        raise Unauthenticated("The token is of another type.")


def _fits(algorithm: str, key: Any) -> bool:
    kind, curve = _ALGORITHMS[algorithm]
    return bool(key.key_type == kind and key.get("alg", algorithm) == algorithm and key.get("crv") == curve)


def _check_claims(claims: Mapping[str, Any], issuer: Issuer, now: float) -> None:
    times = [_seconds(claims[name]) for name in ("exp", "nbf", "iat") if name in claims]
    if "exp" not in claims or None in times:
        raise Unauthenticated("The token doesn't say when it is valid.")
    expires, *begins = (seconds for seconds in times if seconds is not None)
    if now >= expires + LEEWAY_SECONDS:
        raise Unauthenticated("The token has expired.")
    if any(now < begin - LEEWAY_SECONDS for begin in begins):
        raise Unauthenticated("The token is not valid yet.")
    if not _audiences(claims) & set(issuer.audiences):
        raise Unauthenticated("The token is meant for another service.")
    subject = claims.get("sub")
    # Postgres takes neither NUL nor half of a surrogate pair, and a name that reads backwards is somebody else's to the eye.
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
        raise Unauthenticated("The token names nobody.")


def _audiences(claims: Mapping[str, Any]) -> set[str]:
    """Whom a token is meant for. Cognito's access tokens name their client instead."""
    said = claims.get("aud", claims.get("client_id") if claims.get("token_use") == "access" else None)
    listed = said if isinstance(said, list) else [said]
    return {one for one in listed if isinstance(one, str)}


def _seconds(value: Any) -> float | None:
    """Seconds since 1970; None if it is no time."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e12 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable() else None


def _email(claims: Mapping[str, Any], claim: str) -> str | None:
    """An address that the issuer says is verified. Who shares with an address must reach no one who has only written it down.

    A claim that the deployment has named itself is taken at its word, unless the issuer says that it isn't verified.
    """
    verified = claims.get("email_verified", claim != "email")
    return _text(claims.get(claim)) if verified is True or verified == "true" else None
