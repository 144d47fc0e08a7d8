"""The configuration, read once from the environment. Nothing else in Landfall reads ``os.environ``."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from chalicelib.errors import ConfigurationError


def _split_names(value: Any) -> Any:
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split_names)]


_CLOUD_DEFAULTS: dict[str, Any] = {
    "AWS_ENDPOINT_URL": None,
    "LANDFALL_IDENTITY": "none",
    "LANDFALL_PUBLIC_URL": None,
    "LANDFALL_DATABASE_POOL_SIZE": 1,
    "LANDFALL_DATABASE_TLS": "verify",
}


class Settings(BaseModel):
    """Every option of Landfall. A field's alias is the environment variable that sets it.

    The defaults are those of the ``local`` stage on one laptop: they match what ``make services`` starts, so that
    ``chalice local --stage local`` works by hand with an empty environment.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    stage: str = Field("local", alias="LANDFALL_STAGE", description="Name of the deployment stage.")
    database_url: str = Field(
        "postgresql+pg8000://landfall@127.0.0.1:25432/landfall",
        alias="LANDFALL_DATABASE_URL",
        description="SQLAlchemy URL of the catalogue's database.",
    )
    database_login: Literal["password", "iam", "secret"] = Field(
        "password",
        alias="LANDFALL_DATABASE_LOGIN",
        description="How to log in: with the URL's `password` if it has one, by a signed `iam` token (RDS, Aurora), or with the "
        "password of LANDFALL_DATABASE_SECRET.",
    )
    database_secret: str | None = Field(
        None,
        alias="LANDFALL_DATABASE_SECRET",
        description="Secret of Secrets Manager, by name or ARN, that holds the password.",
    )
    database_tls: Literal["off", "verify"] = Field(
        "off",
        alias="LANDFALL_DATABASE_TLS",
        description="`verify`: encrypt, and check the server's certificate and name. Default outside `local`.",
    )
    database_pool_size: int = Field(
        4, ge=1, le=50, alias="LANDFALL_DATABASE_POOL_SIZE", description="Open connections a process keeps."
    )
    statement_timeout_ms: int = Field(
        25_000, ge=0, alias="LANDFALL_STATEMENT_TIMEOUT_MS", description="Longest a statement may run; 0 for no limit."
    )
    query_seconds: float = Field(
        1.8,
        gt=0,
        le=20,
        alias="LANDFALL_QUERY_SECONDS",
        description="Longest that a list, a search or a count may take, in seconds, before the caller is told to narrow it.",
    )
    counted_files: int = Field(
        5_000,
        ge=1,
        le=1_000_000,
        alias="LANDFALL_COUNTED_FILES",
        description="How many files a count or the sums of folders look at, unless they are asked to be `exact`.",
    )
    ranked_files: int = Field(
        500,
        ge=1,
        le=100_000,
        alias="LANDFALL_RANKED_FILES",
        description="How many files with whole words, and with similar ones, a search ranks, unless it is asked to be `exact`.",
    )
    index_seconds: float = Field(
        0.04,
        gt=0,
        le=20,
        alias="LANDFALL_INDEX_SECONDS",
        description="How long a search or a count looks for everything, in seconds, before the newest files have to do.",
    )
    bucket: str = Field("landfall-local", alias="LANDFALL_BUCKET", description="Bucket that uploads go to.")
    extra_buckets: Names = Field(
        (), alias="LANDFALL_EXTRA_BUCKETS", description="Comma-separated further buckets whose events are recorded."
    )
    any_bucket: bool = Field(
        False, alias="LANDFALL_ANY_BUCKET", description="Record events of every bucket that sends them."
    )
    identity: Literal["demo", "oidc", "none"] = Field(
        "demo",
        alias="LANDFALL_IDENTITY",
        description="How callers are identified: `oidc` (by tokens of LANDFALL_OIDC_ISSUERS), `demo` (who brings no token is the "
        "demo operator) or `none` (everyone is 401).",
    )
    oidc_issuers: Names = Field(
        (),
        alias="LANDFALL_OIDC_ISSUERS",
        description="Comma-separated URLs of the OpenID Connect providers whose tokens are taken.",
    )
    oidc_audiences: Names = Field(
        (),
        alias="LANDFALL_OIDC_AUDIENCES",
        description="Comma-separated audiences (with Cognito: client ids), one of which a token must be meant for.",
    )
    oidc_email_claim: str = Field(
        "email", alias="LANDFALL_OIDC_EMAIL_CLAIM", description="The claim of a token that holds the e-mail address."
    )
    oidc_client_id: str | None = Field(
        None,
        alias="LANDFALL_OIDC_CLIENT_ID",
        description="The page's client id at the first of LANDFALL_OIDC_ISSUERS, as `GET /api/identity` tells it.",
    )
    oidc_scopes: Names = Field(
        ("openid", "email", "profile"),
        alias="LANDFALL_OIDC_SCOPES",
        description="Comma-separated scopes that the page asks the provider for.",
    )
    keys_bucket: str | None = Field(
        None,
        alias="LANDFALL_KEYS_BUCKET",
        description="Bucket with the providers' public keys; unset: the providers themselves are asked.",
    )
    bell_bucket: str | None = Field(
        None,
        alias="LANDFALL_BELL_BUCKET",
        description="Bucket through which requests ring for `run_jobs`, for jobs that they may not do themselves; unset: the "
        "clock does these jobs, or whoever looks for them.",
    )
    credentials_role: str | None = Field(
        None,
        pattern=r"^arn:[a-z-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+$",
        alias="LANDFALL_CREDENTIALS_ROLE",
        description="ARN of the role of IAM whose rights callers get, below their own prefix, by `POST /api/credentials`; unset: "
        "they get none.",
    )
    inspection: Literal["inline", "schedule"] = Field(
        "inline", alias="LANDFALL_INSPECTION", description="Inspect new objects right after recording, or by schedule."
    )
    requests_per_second: float = Field(
        0,
        ge=0,
        le=100_000,
        alias="LANDFALL_REQUESTS_PER_SECOND",
        description="How often a user, or an address without one, may ask, on average; 0: as often as it likes.",
    )
    request_burst: int = Field(
        200,
        ge=1,
        le=1_000_000,
        alias="LANDFALL_REQUEST_BURST",
        description="How many requests of one may come at once.",
    )
    cdn_secret_hash: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        alias="LANDFALL_CDN_SECRET_HASH",
        description="SHA-256 of what a CDN in front sends as `X-Landfall-Cdn`. With it `X-Landfall-Viewer` says where a request "
        "comes from; else API Gateway does.",
    )
    waits_per_user: int = Field(
        10,
        ge=0,
        le=10_000,
        alias="LANDFALL_WAITS_PER_USER",
        description="How many requests of a user may `wait` at once.",
    )
    waits: int = Field(50, ge=0, le=10_000, alias="LANDFALL_WAITS", description="How many requests may `wait` at once.")
    jobs_per_user: int = Field(
        50,
        ge=1,
        le=100_000,
        alias="LANDFALL_JOBS_PER_USER",
        description="How many jobs of a member may be open at once.",
    )
    link_seconds: int = Field(
        900, ge=1, le=604_800, alias="LANDFALL_LINK_SECONDS", description="Lifetime of presigned links, in seconds."
    )
    upload_seconds: int = Field(
        86_400,
        ge=60,
        le=604_800,
        alias="LANDFALL_UPLOAD_SECONDS",
        description="How long an upload may take before it counts as abandoned, in seconds. Links are renewed until then. "
        "An upload in one request, of no announced size, gets at most twice LANDFALL_LINK_SECONDS.",
    )
    max_file_bytes: int | None = Field(
        None, ge=0, alias="LANDFALL_MAX_FILE_BYTES", description="Largest file a user may upload; unset: S3's 5 TB."
    )
    media_types: Names = Field(
        (),
        alias="LANDFALL_MEDIA_TYPES",
        description="Comma-separated media types a user may upload: `image/*`; unset: any.",
    )
    quota_bytes: int | None = Field(
        None, ge=0, alias="LANDFALL_QUOTA_BYTES", description="How many bytes a user may have in all; unset: no limit."
    )
    quota_files: int | None = Field(
        None, ge=0, alias="LANDFALL_QUOTA_FILES", description="How many files a user may have; unset: no limit."
    )
    refuse_mismatch: bool = Field(
        False,
        alias="LANDFALL_REFUSE_MISMATCH",
        description="Delete files whose bytes are not of the type that they were declared to be.",
    )
    keep_place: bool = Field(
        False, alias="LANDFALL_KEEP_PLACE", description="Keep where a picture was taken, if it says so (EXIF GPS)."
    )
    trash_days: int = Field(
        30,
        ge=0,
        le=36_500,
        alias="LANDFALL_TRASH_DAYS",
        description="Days after which deleted files are permanently removed; 0: never.",
    )
    lock_days: int = Field(
        0,
        ge=0,
        le=36_500,
        alias="LANDFALL_LOCK_DAYS",
        description="Days after its upload during which nobody can remove a version from the bucket, which must have S3's Object "
        "Lock; 0: none.",
    )
    lock_mode: Literal["governance", "compliance"] = Field(
        "governance",
        alias="LANDFALL_LOCK_MODE",
        description="Who may end a lock before its time: who has the right to (`governance`), or nobody (`compliance`).",
    )
    trail_days: int = Field(
        400,
        ge=0,
        le=36_500,
        alias="LANDFALL_TRAIL_DAYS",
        description="Days after which the trail forgets who did what; 0: never.",
    )
    trail_links: bool = Field(
        False,
        alias="LANDFALL_TRAIL_LINKS",
        description="Note each link to a file's bytes in the trail, too: a write for each download.",
    )
    s3_endpoint: str | None = Field(
        "http://127.0.0.1:4566", alias="AWS_ENDPOINT_URL", description="AWS endpoint; unset or empty means AWS itself."
    )
    public_url: str | None = Field(
        "http://127.0.0.1:8000",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$",
        alias="LANDFALL_PUBLIC_URL",
        description="Where clients reach the API, for links to it. Unset outside `local`: the name that API Gateway was called "
        "by.",
    )
    origins: Names = Field(
        ("*",),
        alias="LANDFALL_ORIGINS",
        description="Comma-separated origins of the web pages that may read the API's answers; `*`: any.",
    )
    s3_public_endpoint: str | None = Field(
        None,
        alias="LANDFALL_S3_PUBLIC_ENDPOINT",
        description="S3 endpoint as browsers reach it, used in presigned links.",
    )
    region: str = Field("us-east-1", alias="AWS_REGION", description="AWS region.")
    audit_minutes: int = Field(
        60,
        ge=0,
        le=525_600,
        alias="LANDFALL_AUDIT_MINUTES",
        description="How often each whole bucket is compared with the catalogue, and what differs put right; 0: never.",
    )
    audit_active_minutes: int = Field(
        15,
        ge=0,
        le=525_600,
        alias="LANDFALL_AUDIT_ACTIVE_MINUTES",
        description="How often the folders that were written to lately are; 0: never.",
    )
    audit_requests: int = Field(
        20_000,
        ge=60,
        alias="LANDFALL_AUDIT_REQUESTS",
        description="About how many requests to S3 these may make in an hour; one lists up to 1,000 versions.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", alias="LANDFALL_LOG_LEVEL", description="Lowest level of log lines that are written."
    )

    @property
    def is_local(self) -> bool:
        """Whether this is the developer's own stage: only there may a caller name itself by header."""
        return self.stage == "local"

    def records_bucket(self, bucket: str) -> bool:
        """Whether events of ``bucket`` belong in the catalogue."""
        return self.any_bucket or bucket == self.bucket or bucket in self.extra_buckets

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings.

        Outside the ``local`` stage the laptop's defaults would be dangerous. There the database and the bucket must be
        named. Unless the environment says otherwise, the endpoint is AWS, the database's certificate is checked, and no
        caller is identified.

        Raises:
            ConfigurationError: a variable is missing or out of range; the message names each one.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {
            alias: environ[alias] for field in cls.model_fields.values() if (alias := field.alias or "") in environ
        }
        # A parameter of the template that was left empty counts as unset. An empty endpoint means AWS.
        values = {alias: value for alias, value in values.items() if value != "" or alias == "AWS_ENDPOINT_URL"}
        if endpoint := environ.get("AWS_ENDPOINT_URL_S3"):
            values["AWS_ENDPOINT_URL"] = endpoint
        is_local = values.get("LANDFALL_STAGE", "local") == "local"
        if not is_local:
            missing = [name for name in ("LANDFALL_DATABASE_URL", "LANDFALL_BUCKET") if not values.get(name)]
            if missing:
                raise ConfigurationError(f"Outside the local stage these must be set: {', '.join(missing)}.")
            values = _CLOUD_DEFAULTS | values
        values["AWS_ENDPOINT_URL"] = values.get("AWS_ENDPOINT_URL", cls.model_fields["s3_endpoint"].default) or None
        _check_identity(values, is_local)
        if values.get("LANDFALL_BELL_BUCKET") and values["LANDFALL_BELL_BUCKET"] == values.get("LANDFALL_BUCKET"):
            raise ConfigurationError("LANDFALL_BELL_BUCKET must be a bucket that no files are put into.")
        if values.get("LANDFALL_DATABASE_LOGIN") == "secret" and not values.get("LANDFALL_DATABASE_SECRET"):
            raise ConfigurationError("With LANDFALL_DATABASE_LOGIN=secret this must be set: LANDFALL_DATABASE_SECRET.")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
            raise ConfigurationError(f"The environment is not usable: {problems}.") from None


def _check_identity(values: Mapping[str, Any], is_local: bool) -> None:
    if values.get("LANDFALL_IDENTITY") == "oidc":
        missing = [name for name in ("LANDFALL_OIDC_ISSUERS", "LANDFALL_OIDC_AUDIENCES") if not values.get(name)]
        if missing:
            raise ConfigurationError(f"With LANDFALL_IDENTITY=oidc these must be set: {', '.join(missing)}.")
        # Whoever may write where the keys lie is whoever it likes: that is no place for everybody's uploads.
        if values.get("LANDFALL_KEYS_BUCKET") and values["LANDFALL_KEYS_BUCKET"] == values.get("LANDFALL_BUCKET"):
            raise ConfigurationError("LANDFALL_KEYS_BUCKET must be a bucket that no files are put into.")
    if values.get("LANDFALL_IDENTITY") == "demo" and not is_local:
        raise ConfigurationError(
            "LANDFALL_IDENTITY=demo makes everybody the operator, and is for the local stage alone. Set oidc or none."
        )


def offers_demo_users() -> bool:
    """Whether callers may say by a header who they are, for what is made while the application is imported.

    It needs no environment to be whole, as `Settings.from_environment` does.
    """
    stage = os.environ.get("LANDFALL_STAGE") or "local"
    return stage == "local" and os.environ.get("LANDFALL_IDENTITY", "demo") in ("", "demo")


def served_function() -> str:
    """The name in app.py of the Lambda function that this process serves; "" outside Lambda.

    Source: `_HANDLER` in https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    return os.environ.get("_HANDLER", "").rpartition(".")[2]


def takes_snapshots() -> bool:
    """Whether Lambda takes a snapshot of this process once it has started, and goes on with copies of it (SnapStart).

    Source: `AWS_LAMBDA_INITIALIZATION_TYPE` in the same page.
    """
    return os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"
