"""A token that was found to be genuine is remembered, and everything but its signature is checked each time."""

from datetime import datetime, timedelta

import pytest
from joserfc.jwk import ECKey

from chalicelib.errors import Unauthenticated
from chalicelib.services.accounts import signing_keys
from chalicelib.services.accounts.signing_keys import SigningKeys
from chalicelib.services.accounts.tokens import Identity, Issuer, identity_of
from tests.support.notifications import NOON
from tests.support.provider import Provider

URL = "https://login.example.com/"
ISSUERS = (Issuer(URL, ("landfall",)),)


class World:
    """A provider, and the API's memory of its keys and tokens."""

    def __init__(self) -> None:
        self.provider, self.seconds = Provider(URL), 0.0
        self.keys = SigningKeys(lambda _: self.provider.key_set(), lambda: self.seconds)

    def token(self, subject: str = "ada") -> str:
        return self.provider.token(subject, NOON.timestamp())

    def identify(self, token: str, now: datetime = NOON, issuers: tuple[Issuer, ...] = ISSUERS) -> Identity:
        return identity_of(token, issuers, self.keys, now)


def test_it_names_the_same_person_again() -> None:
    world = World()
    token = world.token()
    assert world.keys.recall(token) is None
    first = world.identify(token)
    assert world.keys.recall(token) is not None
    assert world.identify(token) == first


def test_it_still_expires() -> None:
    world = World()
    token = world.token()
    world.identify(token)
    with pytest.raises(Unauthenticated, match="expired"):
        world.identify(token, NOON + timedelta(seconds=661))


def test_it_is_refused_once_its_issuer_has_withdrawn_the_key() -> None:
    world = World()
    token = world.token()
    world.identify(token)
    world.provider.keys = [ECKey.generate_key("P-256", {"kid": "second"})]
    world.seconds = 301  # the keys are read again
    with pytest.raises(Unauthenticated, match="key that its issuer doesn't have"):
        world.identify(token)


def test_it_is_refused_once_its_key_is_another_of_the_same_name() -> None:
    world = World()
    token = world.token()
    world.identify(token)
    world.provider.keys = [ECKey.generate_key("P-256", {"kid": "first"})]
    world.seconds = 301
    with pytest.raises(Unauthenticated, match="signature is wrong"):
        world.identify(token)


def test_it_is_refused_where_its_issuer_or_its_audience_is_not_trusted() -> None:
    world = World()
    token = world.token()
    world.identify(token)
    with pytest.raises(Unauthenticated, match="issuer"):
        world.identify(token, issuers=(Issuer("https://other.example.com/", ("landfall",)),))
    with pytest.raises(Unauthenticated, match="another service"):
        world.identify(token, issuers=(Issuer(URL, ("elsewhere",)),))


def test_another_signature_below_the_same_words_is_not_remembered() -> None:
    world = World()
    token = world.token()
    world.identify(token)
    said, _, signature = token.rpartition(".")
    forged = f"{said}.{signature[::-1]}"
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            world.identify(forged)
    assert world.keys.recall(forged) is None


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_keys, "_REMEMBERED", 3)
    world = World()
    tokens = [world.token(f"user-{number}") for number in range(4)]
    for token in tokens:
        world.identify(token)
    assert [world.keys.recall(token) is not None for token in tokens] == [False, False, False, True]
    assert world.identify(tokens[0]).subject == "user-0"
