"""Presigned requests: what a client may do at S3 without credentials of its own, and for how long.

S3 enforces what is signed: it refuses a PUT with another length, type or checksum than the signed one (403).
"""

from typing import Any

from chalicelib.catalog.objects import SignedRequest
from chalicelib.store.failures import translating
from chalicelib.store.presigning import Presigner
from chalicelib.store.response_headers import DEFAULT_MEDIA_TYPE, response_headers


class Links:
    """Signs requests. Nothing is sent, and whether the object exists is not checked."""

    def __init__(self, client: Any) -> None:
        self._client, self._presigner = client, Presigner(client)

    def download(
        self,
        bucket: str,
        key: str,
        version_id: str | None,
        name: str,
        media_type: str | None,
        seconds: int,
        inline: bool = False,
    ) -> str:
        """A URL that downloads an object under ``name`` for ``seconds``.

        ``inline`` asks the browser to show it, which is granted to types that a browser doesn't execute.
        """
        query = response_headers(name, media_type, inline) | ({"versionId": version_id} if version_id else {})
        with translating("sign a link"):
            return self._presigner.get(bucket, key, query, seconds)

    def put(
        self,
        bucket: str,
        key: str,
        size: int | None,
        media_type: str | None,
        sha256: str | None,
        seconds: int,
        overwrite: bool = False,
    ) -> SignedRequest:
        """One PUT that stores the object. If the key holds one already, S3 refuses it, unless ``overwrite`` is set.

        ``size`` (bytes), ``media_type`` and ``sha256`` (base64) are signed if they are given. A browser sends the
        length by itself, and lets no script set it.
        """
        options: dict[str, Any] = {} if overwrite else {"IfNoneMatch": "*"}
        headers = {} if overwrite else {"If-None-Match": "*"}
        if media_type is not None:
            options["ContentType"] = headers["Content-Type"] = media_type
        if sha256 is not None:
            options["ChecksumSHA256"] = headers["x-amz-checksum-sha256"] = sha256
        if size is not None:
            options["ContentLength"] = size
        return SignedRequest("PUT", self._sign("put_object", seconds, Bucket=bucket, Key=key, **options), headers)

    def post(
        self,
        bucket: str,
        key: str,
        min_bytes: int,
        max_bytes: int,
        media_type: str | None,
        sha256: str | None,
        seconds: int,
    ) -> SignedRequest:
        """A form (POST policy) that stores ``min_bytes`` to ``max_bytes`` bytes. Its answer is 201 with the object's URL."""
        fields = {"success_action_status": "201", "Content-Type": media_type or DEFAULT_MEDIA_TYPE}
        if sha256 is not None:
            fields |= {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": sha256}
        conditions: list[Any] = [{name: value} for name, value in fields.items()]
        conditions.append(["content-length-range", min_bytes, max_bytes])
        with translating("sign a form"):
            signed = self._client.generate_presigned_post(bucket, key, fields, conditions, seconds)
        return SignedRequest("POST", signed["url"], fields=signed["fields"])

    def create_multipart(self, bucket: str, key: str, media_type: str | None, seconds: int) -> SignedRequest:
        """A POST that begins a multipart upload."""
        options = {"ContentType": media_type} if media_type else {}
        headers = {"Content-Type": media_type} if media_type else {}
        url = self._sign("create_multipart_upload", seconds, Bucket=bucket, Key=key, **options)
        return SignedRequest("POST", url, headers)

    def part(self, bucket: str, key: str, upload_id: str, number: int, size: int | None, seconds: int) -> SignedRequest:
        """A PUT that stores one part, of ``size`` bytes if given."""
        options: dict[str, Any] = {} if size is None else {"ContentLength": size}
        place = {"Bucket": bucket, "Key": key, "UploadId": upload_id, "PartNumber": number}
        return SignedRequest("PUT", self._sign("upload_part", seconds, **place, **options))

    def list_parts(self, bucket: str, key: str, upload_id: str, seconds: int) -> SignedRequest:
        """A GET that lists the parts that S3 holds."""
        return SignedRequest("GET", self._sign("list_parts", seconds, Bucket=bucket, Key=key, UploadId=upload_id))

    def complete_multipart(self, bucket: str, key: str, upload_id: str, seconds: int) -> SignedRequest:
        """A POST that makes an object of the parts that the client names."""
        url = self._sign("complete_multipart_upload", seconds, Bucket=bucket, Key=key, UploadId=upload_id)
        return SignedRequest("POST", url)

    def abort_multipart(self, bucket: str, key: str, upload_id: str, seconds: int) -> SignedRequest:
        """A DELETE that throws away all parts."""
        url = self._sign("abort_multipart_upload", seconds, Bucket=bucket, Key=key, UploadId=upload_id)
        return SignedRequest("DELETE", url)

    def delete(self, bucket: str, key: str, seconds: int) -> SignedRequest:
        """A DELETE of the current object."""
        return SignedRequest("DELETE", self._sign("delete_object", seconds, Bucket=bucket, Key=key))

    def location(self, bucket: str, key: str) -> str:
        """The object's own URL, without any right to use it."""
        return self._sign("get_object", 1, Bucket=bucket, Key=key).partition("?")[0]

    def _sign(self, operation: str, seconds: int, **parameters: Any) -> str:
        with translating("sign a link"):
            return str(self._client.generate_presigned_url(operation, Params=parameters, ExpiresIn=seconds))
