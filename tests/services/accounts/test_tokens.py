"""Tokens that name somebody, and everything that doesn't."""

import base64
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from chalicelib.errors import Unauthenticated
from chalicelib.services.accounts.signing_keys import SigningKeys
from chalicelib.services.accounts.tokens import MAX_BYTES, Identity, Issuer, identity_of
from tests.support.notifications import NOON

URL, OTHER = "https://login.example.com/", "https://other.example.com/"
ISSUERS = Issuer(URL, ("landfall", "landfall-too")), Issuer(OTHER, ("landfall",), "mail")
NOW = int(NOON.timestamp())
KEYS: dict[str, Any] = {
    "RS256": RSAKey.generate_key(2048, {"kid": "RS256"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "ES256"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "EdDSA"}),
}
STRANGE = ECKey.generate_key("P-256", {"kid": "strange"})
REGISTRY = JWSRegistry(algorithms=["RS256", "ES256", "EdDSA", "Ed25519", "PS256"], strict_check_header=False)


def _published(issuer: str) -> bytes:
    keys = {URL: KEYS.values(), OTHER: [STRANGE]}[issuer]
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    made = {"iss": URL, "sub": "ada", "aud": "landfall", "exp": NOW + 600, "iat": NOW, **changes}
    return {name: value for name, value in made.items() if value is not None}


def signed(algorithm: str = "ES256", key: Any = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
    told = {"alg": algorithm, "kid": algorithm, "typ": "JWT", **(header or {})}
    told = {name: value for name, value in told.items() if value is not None}
    return jws.serialize_compact(told, json.dumps(claims(**changes)), key or KEYS[algorithm], registry=REGISTRY)


def identify(token: str) -> Identity:
    return identity_of(token, ISSUERS, SigningKeys(_published), NOON)


def _encoded(part: Any) -> str:
    return _base64(json.dumps(part).encode())


def _base64(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _with_hmac(secret: bytes) -> str:
    """As a library would be fooled that lets a token choose how it is checked."""
    said = f"{_encoded({'alg': 'HS256', 'kid': 'RS256'})}.{_encoded(claims())}"
    return f"{said}.{_base64(hmac.digest(secret, said.encode(), 'sha256'))}"


@pytest.mark.parametrize("algorithm", [*KEYS, "Ed25519"])
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # in the library's eyes; providers still use the name
def test_a_token_names_somebody(algorithm: str) -> None:
    key = KEYS["EdDSA" if algorithm == "Ed25519" else algorithm]
    found = identify(signed(algorithm, key, {"kid": key.kid}, name="Ada", email="ada@example.com", email_verified=True))
    assert found == Identity(URL, "ada", "Ada", "ada@example.com")


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
def test_access_tokens_and_tokens_without_a_type_are_taken(kind: str | None) -> None:
    assert identify(signed(header={"typ": kind})).subject == "ada"


@pytest.mark.parametrize("audience", ["landfall-too", ["else", "landfall"]])
def test_one_of_several_audiences_is_enough(audience: Any) -> None:
    assert identify(signed(aud=audience)).subject == "ada"


def test_an_access_token_of_cognito_names_its_client() -> None:
    assert identify(signed(aud=None, client_id="landfall", token_use="access")).subject == "ada"
    with pytest.raises(Unauthenticated):
        identify(signed(aud=None, client_id="landfall", token_use="id"))


@pytest.mark.parametrize("seconds", [-59, 0, 59])
def test_clocks_may_differ_by_a_minute(seconds: int) -> None:
    assert identify(signed(exp=NOW - 59, nbf=NOW + seconds)).subject == "ada"


@pytest.mark.parametrize("verified", [False, "false", "False", "no", 0, [], {}])
def test_an_address_that_is_not_verified_is_none(verified: Any) -> None:
    assert identify(signed(email="ada@example.com", email_verified=verified)).email is None


def test_the_claim_of_the_address_is_the_issuers_own() -> None:
    found = identify(signed(key=STRANGE, header={"kid": "strange"}, iss=OTHER, mail="a@b.c", email="d@e.f"))
    assert (found.issuer, found.email) == (OTHER, "a@b.c")


@pytest.mark.parametrize("name", ["jku", "x5u", "x5t"])
def test_what_a_token_says_of_where_its_key_is_means_nothing(name: str) -> None:
    assert identify(signed(header={name: "https://evil.example.com/"})).subject == "ada"
    with pytest.raises(Unauthenticated):
        identify(signed(key=STRANGE, header={name: "https://evil.example.com/"}))


@pytest.mark.parametrize("name", ["ada\0", "\ud800", "\u202eada", "", 5, ["Ada"], "x" * 256])
def test_a_name_that_cannot_be_kept_is_none(name: Any) -> None:
    found = identify(signed(name=name, email=name))
    assert (found.name, found.email) == (None, None)


_CLAIMS = json.dumps(claims())
REFUSED: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "a word": lambda: "token",
    "two parts": lambda: signed().rpartition(".")[0],
    "not ASCII": lambda: signed() + "é",
    "gigantic": lambda: signed(padding="x" * MAX_BYTES),
    "no JSON": lambda: f"{_encoded({'alg': 'ES256', 'kid': 'ES256'})}.eHg.eHg",
    "a list": lambda: f"{_encoded({'alg': 'ES256', 'kid': 'ES256'})}.{_encoded([])}.eHg",
    "a header that is a list": lambda: f"{_encoded(['alg'])}.{_encoded(claims())}.eHg",
    "a header that is a text": lambda: f"{_encoded('alg')}.{_encoded(claims())}.eHg",
    "deep": lambda: f"{_encoded({'alg': 'ES256'})}.{base64.urlsafe_b64encode(b'[' * 9000).decode()}.eHg",
    "algorithm none": lambda: f"{_encoded({'alg': 'none', 'kid': 'ES256'})}.{_encoded(claims())}.",
    "algorithm None": lambda: f"{_encoded({'alg': 'None', 'kid': 'ES256'})}.{_encoded(claims())}.",
    "a list of algorithms": lambda: f"{_encoded({'alg': ['ES256'], 'kid': 'ES256'})}.{_encoded(claims())}.eHg",
    "the public key as a secret": lambda: _with_hmac(KEYS["RS256"].as_pem(private=False)),
    "an algorithm that is not in the list": lambda: signed("PS256", KEYS["RS256"], {"kid": "RS256"}),
    "a key of another algorithm": lambda: signed("ES256", header={"kid": "RS256"}),
    "another key": lambda: signed(key=STRANGE),
    "an unknown key": lambda: signed(key=STRANGE, header={"kid": "strange"}),
    "no key": lambda: signed(header={"kid": None}),
    "a key that is no name": lambda: signed(header={"kid": "x"}).replace(
        _encoded({"alg": "ES256", "kid": "x"}), _encoded({"alg": "ES256", "kid": ["x"]})
    ),
    "a key of its own": lambda: signed(key=STRANGE, header={"jwk": STRANGE.as_dict(private=False)}),
    "a key that is a path": lambda: signed(header={"kid": "../../../dev/null"}),
    "a key with a gigantic name": lambda: signed(header={"kid": "x" * 9000}),
    "a payload that isn't encoded": lambda: (
        f"{_encoded({'alg': 'ES256', 'kid': 'ES256', 'b64': False})}.{_encoded(claims())}.eHg"
    ),
    "something critical": lambda: (
        f"{_encoded({'alg': 'ES256', 'kid': 'ES256', 'crit': ['b64'], 'b64': False})}.{_CLAIMS}.eHg"
    ),
    "a logout token": lambda: signed(header={"typ": "logout+jwt"}),
    "a changed claim": lambda: ".".join([signed().split(".")[0], _encoded(claims(sub="root")), signed().split(".")[2]]),
    "another issuer": lambda: signed(iss="https://evil.example.com/"),
    "an issuer without its slash": lambda: signed(iss=URL[:-1]),
    "an issuer in capitals": lambda: signed(iss=URL.replace("login", "LOGIN")),
    "an issuer with a letter of another script": lambda: signed(iss=URL.replace("login", "l\u043egin")),
    "no issuer": lambda: signed(iss=None),
    "another trusted issuer's name": lambda: signed(iss=OTHER),
    "an issuer that is a list": lambda: signed(iss=[URL]),
    "another audience": lambda: signed(aud="else"),
    "no audience": lambda: signed(aud=None),
    "an audience in an object": lambda: signed(aud={"landfall": 1}),
    "an audience in a list of lists": lambda: signed(aud=[["landfall"]]),
    "an audience that is a number": lambda: signed(aud=[5, {}]),
    "expired": lambda: signed(exp=NOW - 60),
    "without an end": lambda: signed(exp=None),
    "an end that is no time": lambda: signed(exp="never"),
    "an end that is true": lambda: signed(exp=True),
    "an end beyond time": lambda: signed(exp=1e300),
    "an end that is no number": lambda: signed(exp=float("nan")),
    "an end that never comes": lambda: signed(exp=float("inf")),
    "a beginning that is no number": lambda: signed(nbf=float("nan")),
    "not valid yet": lambda: signed(nbf=NOW + 61),
    "issued tomorrow": lambda: signed(iat=NOW + int(timedelta(days=1).total_seconds())),
    "nobody": lambda: signed(sub=None),
    "an empty name": lambda: signed(sub=""),
    "a number": lambda: signed(sub=7),
    "a name with a NUL": lambda: signed(sub="ada\0"),
    "a name with half of a surrogate pair": lambda: signed(sub="\ud800"),
    "a name that reads backwards": lambda: signed(sub="\u202eada"),
    "a long name": lambda: signed(sub="x" * 256),
}


@pytest.mark.parametrize("name", REFUSED)
def test_everything_else_is_refused_and_not_repeated(name: str) -> None:
    token = REFUSED[name]()
    with pytest.raises(Unauthenticated) as refusal:
        identify(token)
    assert not any(part in str(refusal.value) for part in token.split(".") if len(part) > 5)
    assert str(refusal.value).endswith(".")
