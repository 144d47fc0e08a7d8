"""Keys of identity providers are read when they must be, kept while they can be, and never asked for too often."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from chalicelib.errors import KeysUnavailable, StoreUnavailable
from chalicelib.services.accounts.signing_keys import SigningKeys, parse_keys

ISSUER = "https://login.example.com/"


def key_set(*keys: Any) -> bytes:
    return json.dumps({"keys": [key if isinstance(key, dict) else key.as_dict() for key in keys]}).encode()


def key(name: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": name})


class Provider:
    """An issuer whose keys and whose clock the test sets."""

    def __init__(self, *names: str) -> None:
        self.document: bytes | None = key_set(*map(key, names))
        self.seconds, self.asked = 0.0, 0
        self.keys = SigningKeys(self._read, lambda: self.seconds)

    def _read(self, issuer: str) -> bytes:
        assert issuer == ISSUER
        self.asked += 1
        if self.document is None:
            raise StoreUnavailable("S3 does not answer.")
        return self.document

    def knows(self, name: str) -> bool:
        return self.keys.find(ISSUER, name) is not None


def test_keys_are_read_once_in_five_minutes() -> None:
    provider = Provider("a")
    for seconds in (0, 1, 299):
        provider.seconds = seconds
        assert provider.knows("a")
    assert provider.asked == 1
    provider.seconds = 300
    assert provider.knows("a")
    assert provider.asked == 2


def test_a_new_key_is_found_at_once_but_unknown_ones_are_asked_for_every_half_minute_at_most() -> None:
    provider = Provider("a")
    provider.seconds = 100
    assert provider.knows("a")
    provider.seconds, provider.document = 140, key_set(key("a"), key("b"))
    assert provider.knows("b")
    for number in range(100):
        assert not provider.knows(f"made up {number}")
    assert provider.asked == 2
    provider.seconds = 170
    assert not provider.knows("made up")
    assert provider.asked == 3


def test_a_key_that_was_withdrawn_is_known_no_more_after_five_minutes() -> None:
    provider = Provider("a", "b")
    assert provider.knows("a")
    provider.seconds, provider.document = 301, key_set(key("b"))
    assert not provider.knows("a")


@pytest.mark.parametrize("is_rotated", [False, True])
def test_who_comes_while_keys_are_read_gets_them_too(is_rotated: bool) -> None:
    document = key_set(key("a"))

    def read(_issuer: str) -> bytes:
        time.sleep(0.2)
        return document

    now = [0.0]
    keys = SigningKeys(read, lambda: now[0])
    if is_rotated:
        assert keys.find(ISSUER, "a")
        document, now[0] = key_set(key("b")), 31.0
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: keys.find(ISSUER, "b" if is_rotated else "a"), range(8)))
    assert None not in found


@pytest.mark.parametrize("document", [None, b"", b"<html>", b"[]", b'{"keys": 5}', b"[" * 99_999, b"x" * (1 << 21)])
def test_old_keys_are_kept_while_there_is_nothing_newer(document: bytes | None) -> None:
    provider = Provider("a")
    assert provider.knows("a")
    for seconds in (301, 400, 86_400):
        provider.seconds, provider.document = seconds, document
        assert provider.knows("a")
    assert provider.asked == 4


def test_without_any_keys_nobody_can_be_told_apart_and_asking_does_not_become_a_flood() -> None:
    provider = Provider("a")
    document, provider.document = provider.document, None
    for _ in range(10):
        with pytest.raises(KeysUnavailable):
            provider.knows("a")
    assert provider.asked == 1
    provider.seconds, provider.document = 30, document
    assert provider.knows("a")


@pytest.mark.filterwarnings("ignore:Key size should be")  # that is what is tested
def test_keys_that_may_not_sign_or_are_weak_or_are_secret_are_left_out() -> None:
    good = [
        RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}),
        key("ec"),
        OKPKey.generate_key("Ed25519", {"kid": "okp"}),
    ]
    bad: list[Any] = [
        RSAKey.generate_key(1024, {"kid": "weak"}),
        ECKey.generate_key("P-256", {"kid": "for encryption", "use": "enc"}),
        OctKey.generate_key(256, {"kid": "secret"}),
        ECKey.generate_key("P-256"),
        {"kty": "RSA", "kid": "half"},
        {"kty": "EC", "kid": "off the curve", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": ["RSA"], "kid": "a list"},
        {},
    ]
    found = parse_keys(key_set(*good, *bad))
    assert set(found) == {"rsa", "ec", "okp"}
    assert not any(one.is_private for one in found.values())
