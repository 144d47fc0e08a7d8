"""What every answer says of the caller's rate, in the fields of draft-ietf-httpapi-ratelimit-headers-10.

Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/, an Internet-Draft. It counts in windows: ``q``
requests are good for ``w`` seconds. A bucket of tokens never holds more than ``q``, and an empty one is full after ``w``.
"""

from math import ceil

from chalicelib.catalog.rates import Standing

POLICY, STANDING = "RateLimit-Policy", "RateLimit"
_NAME = '"default"'


def rate_headers(standing: Standing | None) -> dict[str, str]:
    """The headers; none where nothing is limited."""
    if standing is None:
        return {}
    rate = standing.rate
    return {
        POLICY: f"{_NAME};q={rate.burst};w={ceil(rate.burst * rate.seconds_each)}",
        STANDING: f"{_NAME};r={standing.left};t={ceil(standing.seconds_to_full)}",
    }
