"""Making clients of S3, and of STS."""

from typing import Any

from chalicelib.store.failures import note_try

_CONNECT_SECONDS, _READ_SECONDS = 3, 10
_ATTEMPTS = 3
_EMULATOR_KEYS = ("test", "test")


def connect(region: str, endpoint: str | None) -> Any:
    """A client of S3 at ``endpoint`` (None: AWS). Nothing is sent yet.

    If there is an endpoint, and no credentials in the environment or the AWS configuration, the emulators' customary
    ``test`` is used. An instance's role is not asked for then.
    """
    client = _connect(
        "s3",
        region,
        endpoint,
        signature_version="s3v4",
        max_pool_connections=32,
        # Emulators' buckets have no host names of their own.
        s3={"addressing_style": "path" if endpoint else "virtual"},
        # Not every other S3 than AWS's knows the newer default checksums, and a link must not ask for one by default.
        # Each request says itself what is to be verified.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client.meta.events.register("needs-retry.s3", note_try)
    return client


def connect_sts(region: str, endpoint: str | None) -> Any:
    """A client of the region's own STS, the only one that has an endpoint in a VPC; or of the one at ``endpoint``."""
    return _connect("sts", region, endpoint)


def _connect(service: str, region: str, endpoint: str | None, **options: Any) -> Any:
    # Importing it here saves 48 ms. boto3 would add nothing that is used here, and take time to import. Each client
    # gets a session of its own, because sessions, unlike clients, must not be shared between threads.
    import botocore.session
    from botocore.config import Config

    session = botocore.session.get_session()
    session.set_config_variable("sts_regional_endpoints", "regional")
    keys: dict[str, Any] = {}
    if endpoint:
        # An emulator needs no instance role, and asking for one takes seconds where there is none.
        session.get_component("credential_provider").remove("iam-role")
        if session.get_credentials() is None:
            keys = dict(zip(("aws_access_key_id", "aws_secret_access_key"), _EMULATOR_KEYS, strict=True))
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        # A company's proxy does not know the way to an emulator on this machine.
        proxies={} if endpoint else None,
        **options,
    )
    return session.create_client(service, region_name=region, endpoint_url=endpoint or None, config=config, **keys)
