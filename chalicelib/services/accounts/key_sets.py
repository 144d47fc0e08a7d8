"""Where the key sets of identity providers lie for functions that have no way to the providers, and how they get there."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from chalicelib.errors import KeysUnavailable
from chalicelib.services.accounts.discovery import fetch_key_set
from chalicelib.services.accounts.signing_keys import MAX_KEY_SET_BYTES, key_set_key
from chalicelib.services.context import Context
from chalicelib.settings import Settings

ReadKeys = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class KeptKeySet:
    """The key set of one issuer.

    Attributes:
        written_at: when it was last fetched; None if never.
        problem: why it couldn't be fetched now; None if it was.
    """

    issuer: str
    written_at: datetime | None
    problem: str | None


def keep_key_sets(ctx: Context) -> list[KeptKeySet]:
    """Fetch the key set of each issuer into the bucket of keys. One that can't be fetched stays as it was.

    Raises:
        StoreUnavailable: the bucket can't be written to.
    """
    return [_keep(ctx, issuer) for issuer in ctx.settings.oidc_issuers]


def reader_of(settings: Settings, read: Callable[[str, str, int], bytes]) -> ReadKeys:
    """How this process reads the key set of an issuer: from the bucket of keys, or if there is none, from the provider.

    Args:
        read: reads an object of a bucket: ``(bucket, key, at most so many bytes)``.
    """
    bucket = settings.keys_bucket
    if bucket is None:
        return lambda issuer: fetch_key_set(issuer, settings.s3_endpoint)
    return lambda issuer: read(bucket, key_set_key(issuer), MAX_KEY_SET_BYTES + 1)


def _keep(ctx: Context, issuer: str) -> KeptKeySet:
    bucket, key = ctx.settings.keys_bucket, key_set_key(issuer)
    if bucket is None:
        return KeptKeySet(issuer, None, "There is no bucket of keys: LANDFALL_KEYS_BUCKET.")
    try:
        document = fetch_key_set(issuer, ctx.settings.s3_endpoint)
    except KeysUnavailable as error:
        return KeptKeySet(issuer, ctx.store.document_written_at(bucket, key), str(error))
    ctx.store.write_document(bucket, key, document)
    return KeptKeySet(issuer, ctx.now, None)
