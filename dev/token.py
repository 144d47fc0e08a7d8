"""A token for somebody, got as a page gets one: authorization code with PKCE."""

import base64
import hashlib
import json
import secrets
from urllib.parse import parse_qs, urlencode, urlsplit

import urllib3

from dev.configuration import Configuration
from dev.problem import StackProblem

_CLIENT = "command-line"
_BACK = "http://127.0.0.1/"


def get_token(configuration: Configuration, name: str) -> str:
    """An access token of the running stack's own provider. ``name``: of a made-up person, like ``ada``.

    Raises:
        StackProblem: no provider runs, or it refuses.
    """
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": _CLIENT,
        "redirect_uri": _BACK,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "scope": "openid email profile",
    }
    answer = _post(configuration, "authorize", {**asked, "name": name})
    code = parse_qs(urlsplit(answer.headers.get("Location", "")).query).get("code", [""])[0]
    if answer.status != 303:
        raise StackProblem(f"The identity provider refused: {_reason(answer)}")
    redeemed = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": _CLIENT,
        "redirect_uri": _BACK,
        "code_verifier": verifier,
    }
    answer = _post(configuration, "token", redeemed)
    if answer.status != 200:
        raise StackProblem(f"The identity provider refused: {_reason(answer)}")
    return str(json.loads(answer.data)["access_token"])


def _post(configuration: Configuration, path: str, fields: dict[str, str]) -> urllib3.BaseHTTPResponse:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        return urllib3.request(
            "POST",
            f"{configuration.provider_url}/{path}",
            body=urlencode(fields),
            headers=headers,
            redirect=False,
            retries=False,
            timeout=5,
        )
    except urllib3.exceptions.HTTPError:
        raise StackProblem(
            f"No identity provider answers at {configuration.provider_url}; `LANDFALL_IDENTITY=oidc make run` starts one."
        ) from None


def _reason(answer: urllib3.BaseHTTPResponse) -> str:
    try:
        return str(json.loads(answer.data)["error_description"])
    except (ValueError, KeyError, TypeError):
        return f"it answered {answer.status}."
