"""Making a client of S3."""

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
    # Importing it here saves 48 ms. boto3 would add nothing that is used here, and take time to import. Each client
    # gets a session of its own, because sessions, unlike clients, must not be shared between threads.
    import botocore.session
    from botocore.config import Config

    session = botocore.session.get_session()
    options: dict[str, Any] = {}
    if endpoint:
        # An emulator needs no instance role, and asking for one takes seconds where there is none.
        session.get_component("credential_provider").remove("iam-role")
        if session.get_credentials() is None:
            options = dict(zip(("aws_access_key_id", "aws_secret_access_key"), _EMULATOR_KEYS, strict=True))
    config = Config(
        signature_version="s3v4",
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=32,
        # Emulators' buckets have no host names of their own.
        s3={"addressing_style": "path" if endpoint else "virtual"},
        # Not every other S3 than AWS's knows the newer default checksums, and a link must not ask for one by default.
        # Each request says itself what is to be verified.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        # A company's proxy does not know the way to an emulator on this machine.
        proxies={} if endpoint else None,
    )
    client = session.create_client("s3", region_name=region, endpoint_url=endpoint or None, config=config, **options)
    client.meta.events.register("needs-retry.s3", note_try)
    return client
