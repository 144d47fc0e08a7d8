"""The key sets of identity providers, fetched from the providers themselves.

Source: https://openid.net/specs/openid-connect-discovery-1_0.html
"""

import json
from http.client import HTTPException
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from chalicelib.errors import KeysUnavailable
from chalicelib.services.accounts.signing_keys import MAX_KEY_SET_BYTES, parse_keys

_SECONDS = 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class _NoRedirects(HTTPRedirectHandler):
    """A provider that sends elsewhere might be sending to somebody else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def fetch_key_set(issuer: str, emulator: str | None = None) -> bytes:
    """The JSON Web Key Set that an issuer publishes now.

    Args:
        emulator: where AWS is emulated. There Cognito signs in the name of AWS's, and is asked instead of it.

    Raises:
        KeysUnavailable: the provider doesn't answer, or not as a provider does. The message says which part failed.
    """
    asked = _emulated(issuer, emulator) or issuer
    described = _fetched(f"{asked.rstrip('/')}/.well-known/openid-configuration", emulator)
    try:
        description = json.loads(described)
        named, location = description["issuer"], description["jwks_uri"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KeysUnavailable(f"What {issuer} says about itself can't be read.") from None
    if named != issuer or not isinstance(location, str):
        raise KeysUnavailable(f"{issuer} says that its name is another.")
    if asked != issuer:  # what an emulator says of its own address may be true only where it runs
        location = f"{asked}{urlsplit(location).path.removeprefix(urlsplit(asked).path)}"
    document = _fetched(location, emulator)
    try:
        if parse_keys(document):
            return document
    except ValueError as error:
        raise KeysUnavailable(f"The keys of {issuer} can't be read: {error}") from None
    raise KeysUnavailable(f"{issuer} publishes no key that can be used.")


def _emulated(issuer: str, emulator: str | None) -> str | None:
    host = urlsplit(issuer).hostname or ""
    is_cognito = host.startswith("cognito-idp.") and host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    return f"{emulator.rstrip('/')}{urlsplit(issuer).path}" if emulator and is_cognito else None


def _fetched(url: str, emulator: str | None) -> bytes:
    """At most a megabyte from ``url``, which must be one that nobody on the way can answer for."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise KeysUnavailable("An identity provider names an address that is none.") from None
    is_ours = parts.scheme == "http" and (host in _LOOPBACK or bool(emulator and host == urlsplit(emulator).hostname))
    if parts.scheme != "https" and not is_ours:
        raise KeysUnavailable(f"{url[:200]!r} is not asked for keys: it is no https URL.")
    request = Request(url, headers={"Accept": "application/json", "User-Agent": "landfall"})
    try:
        with build_opener(_NoRedirects).open(request, timeout=_SECONDS) as answer:
            return bytes(answer.read(MAX_KEY_SET_BYTES + 1))
    except (URLError, OSError, HTTPException, ValueError) as error:
        raise KeysUnavailable(f"{url[:200]} doesn't answer: {error}") from None
