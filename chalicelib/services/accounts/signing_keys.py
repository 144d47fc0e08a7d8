"""The public keys of identity providers: read when they are needed, kept while they are fresh, or nothing newer is to be had."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from chalicelib.errors import KeysUnavailable, LandfallError

if TYPE_CHECKING:
    from joserfc.jwk import Key

_FRESH_SECONDS = 300.0
# A token may name any key id, so asking for unknown ones must not become a way to keep the store busy.
_ASK_AGAIN_SECONDS = 30.0
MAX_KEY_SET_BYTES = 1 << 20
_MIN_RSA_BITS = 2048
# How many tokens this process remembers. All are genuine, so nobody can fill it with made-up ones.
_REMEMBERED = 1000


@dataclass(slots=True)
class _Kept:
    keys: Mapping[str, "Key"]
    read_at: float


@dataclass(frozen=True, slots=True)
class Signed:
    """What a token says, whose signature was found to be of this key."""

    issuer: str
    key_id: str
    key: "Key"
    claims: Mapping[str, Any]


@dataclass(slots=True)
class SigningKeys:
    """The keys of all issuers that this process has met, and tokens that they have signed.

    Attributes:
        read: gives the JSON Web Key Set of an issuer; it raises a `LandfallError` if it can't.
        clock: seconds that never go back.
    """

    read: Callable[[str], bytes]
    clock: Callable[[], float] = monotonic
    _reading: Lock = field(default_factory=Lock)
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _asked: dict[str, float] = field(default_factory=dict)
    _signed: dict[bytes, Signed] = field(default_factory=dict)

    def find(self, issuer: str, key_id: str) -> "Key | None":
        """The key with this id; None if the issuer has no such key that can be used.

        Keys are read again after five minutes. If a key is unknown, they are read again at once, but at most every 30 s.

        Raises:
            KeysUnavailable: nothing was ever read, and can't be now.
        """
        kept, now = self._kept.get(issuer), self.clock()
        if kept is None or key_id not in kept.keys:
            with self._reading:  # who comes meanwhile waits for the same answer
                kept = self._read_again(issuer, now)
        elif now - kept.read_at >= _FRESH_SECONDS and self._reading.acquire(blocking=False):
            try:
                kept = self._read_again(issuer, now)
            finally:
                self._reading.release()
        return kept.keys.get(key_id)

    def recall(self, token: str) -> Signed | None:
        """What a token says that was found to be genuine before, if its issuer still has the key. Its claims stay to be checked.

        Keys that were read again are other keys, so what they signed is verified again.

        Raises:
            KeysUnavailable: as `find` does.
        """
        signed = self._signed.get(_digest(token))
        return signed if signed is not None and self.find(signed.issuer, signed.key_id) is signed.key else None

    def remember(self, token: str, signed: Signed) -> None:
        """Spare the next request with this token the verification of its signature, which takes a tenth of a small request."""
        if len(self._signed) >= _REMEMBERED:
            self._signed.clear()
        self._signed[_digest(token)] = signed

    def _read_again(self, issuer: str, now: float) -> _Kept:
        kept, asked = self._kept.get(issuer), self._asked.get(issuer)
        if asked is not None and now - asked < _ASK_AGAIN_SECONDS:
            if kept is None:
                raise KeysUnavailable("The keys of the identity provider can't be read yet.")
            return kept
        self._asked[issuer] = now
        try:
            self._kept[issuer] = _Kept(parse_keys(self.read(issuer)), now)
        except (LandfallError, ValueError) as error:
            if kept is None:
                raise KeysUnavailable("The keys of the identity provider can't be read.") from error
        return self._kept[issuer]


def _digest(token: str) -> bytes:
    """What a token is known by, so that none is kept."""
    return sha256(token.encode()).digest()


def key_set_key(issuer: str) -> str:
    """Where the key set of an issuer lies in the bucket of keys."""
    return f".landfall/key-sets/{sha256(issuer.encode()).hexdigest()}.json"


def parse_keys(document: bytes) -> dict[str, "Key"]:
    """The keys of a JSON Web Key Set that may sign, by their ids. Those that can't be used are left out.

    Raises:
        ValueError: it is no key set.
    """
    if len(document) > MAX_KEY_SET_BYTES:
        raise ValueError("The key set is too large.")
    try:
        listed = json.loads(document)
    except RecursionError:
        raise ValueError("The key set is nested too deeply.") from None
    if not isinstance(listed, dict) or not isinstance(listed.get("keys"), list):
        raise ValueError("This is no JSON Web Key Set.")
    found = ((one.get("kid"), _usable(one)) for one in listed["keys"] if isinstance(one, dict))
    return {key_id: key for key_id, key in found if isinstance(key_id, str) and key is not None}


def _usable(described: dict[str, Any]) -> "Key | None":
    """A public key for signatures; None for others. A secret in a public document is none."""
    from joserfc.errors import JoseError  # saves 120 ms of requests without a token
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    kinds: dict[Any, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    kind = described.get("kty")
    if described.get("use", "sig") != "sig" or not isinstance(kind, str) or kind not in kinds:
        return None
    public = {name: value for name, value in described.items() if name not in ("d", "p", "q", "dp", "dq", "qi", "oth")}
    try:
        key = kinds[kind].import_key(public)
        raw: Any = key.raw_value  # this is where a point off its curve is found
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return None if isinstance(key, RSAKey) and raw.key_size < _MIN_RSA_BITS else key
