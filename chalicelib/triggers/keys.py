"""What fetches the public keys of identity providers, outside the VPC that the other functions can't leave."""

from typing import Any

from chalicelib import runtime, telemetry
from chalicelib.services.accounts.key_sets import keep_key_sets

# An age that no alarm can overlook, for keys that were never fetched.
_NEVER_SECONDS = 10 * 365 * 86_400.0


def fetch_keys(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Fetch the key set of each identity provider, and write how old the oldest one is as a metric.

    Returns:
        ``{"fetched": issuers, "failed": {issuer: why}}``.

    Raises:
        StoreUnavailable: the bucket of keys can't be written to.
    """
    ctx = runtime.context()
    kept = keep_key_sets(ctx)
    for one in kept:
        if one.problem is not None:
            telemetry.log("warning", "keys not fetched", issuer=one.issuer, reason=one.problem)
    now = ctx.now
    ages = [_NEVER_SECONDS if one.written_at is None else (now - one.written_at).total_seconds() for one in kept]
    if ages:
        telemetry.metric({"KeysAge": max(0.0, *ages)}, {"Bucket": ctx.settings.bucket}, unit="Seconds")
    return {
        "fetched": [one.issuer for one in kept if one.problem is None],
        "failed": {one.issuer: one.problem for one in kept if one.problem is not None},
    }
