"""Presigned GETs, by Signature Version 4, with what botocore has said once about a bucket.

botocore makes the whole request for each link, and resolves the endpoint anew: 0.7 ms, a quarter of the time that a link takes.
Here only what differs is signed. The tests hold each URL against botocore's.
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
# A key that tells nothing: where it stands in botocore's URL, others will stand.
_SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Where a bucket's objects are, and for which region and service requests to it are signed."""

    origin: str
    host: str
    path: str
    scope: str


class Presigner:
    """Signs GETs of objects."""

    def __init__(self, client: Any) -> None:
        """``client``: a botocore client of S3, whose endpoint and credentials count."""
        self._client = client
        self._buckets: dict[str, _Bucket] = {}

    def get(self, bucket: str, key: str, query: Mapping[str, str], seconds: int, now: datetime | None = None) -> str:
        """The URL of a GET that is good for ``seconds`` from ``now`` on."""
        place = self._buckets.get(bucket)
        if place is None:
            place = self._buckets[bucket] = self._find(bucket)
        # They may expire, and are others then. A frozen copy holds what belongs together.
        credentials = self._client._request_signer._credentials.get_frozen_credentials()
        moment = f"{now or datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        scope = f"{moment[:8]}/{place.scope}"
        signed = {
            **query,
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{credentials.access_key}/{scope}",
            "X-Amz-Date": moment,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "host",
        }
        if credentials.token:
            signed["X-Amz-Security-Token"] = credentials.token
        path = place.path + quote(key, safe="/~")
        encoded = sorted((_quoted(name), _quoted(value)) for name, value in signed.items())
        asked = "&".join(f"{name}={value}" for name, value in encoded)
        request = f"GET\n{path}\n{asked}\nhost:{place.host}\n\nhost\nUNSIGNED-PAYLOAD"
        text = f"{_ALGORITHM}\n{moment}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.new(_signing_key(credentials.secret_key, scope), text.encode(), sha256).hexdigest()
        return f"{place.origin}{path}?{asked}&X-Amz-Signature={signature}"

    def _find(self, bucket: str) -> _Bucket:
        made = self._client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": _SAMPLE})
        url = urlsplit(made)
        credential = parse_qs(url.query)["X-Amz-Credential"][0]
        scope = "/".join(credential.rsplit("/", 3)[1:])  # what follows the access key and the date
        # Clients leave a scheme's own port out of the header that is signed.
        host = url.netloc.removesuffix({"http": ":80", "https": ":443"}[url.scheme])
        return _Bucket(f"{url.scheme}://{url.netloc}", host, url.path.removesuffix(_SAMPLE), scope)


# Most of what is signed is the same for every link, or for those of the same second.
@lru_cache(maxsize=1024)
def _quoted(text: str) -> str:
    return quote(text, safe="~")


@lru_cache(maxsize=4)
def _signing_key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
