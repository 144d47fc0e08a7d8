"""What the developer reads once the stack is up."""

import shlex
from pathlib import Path

from dev.configuration import HOST, PROJECT, Configuration


def show(configuration: Configuration, *, with_api: bool, seconds: float) -> None:
    """Print the addresses and what to try first."""
    print(
        f"\nLandfall is up, after {seconds:.1f} s. Ctrl-C stops it; the data stays in {_short(configuration.home)}.\n"
    )
    for name, value in _addresses(configuration, with_api).items():
        print(f"  {name:<10}{value}")
    if not with_api:
        print("\nThe API is yours to start, in another terminal:\n")
        print(f"  {_by_hand(configuration)}.venv/bin/chalice local --stage local --port {configuration.api_port}")
    print("\nThen try:\n" if not with_api else "\nTry, in another terminal:\n")
    for command in _commands(configuration):
        print(f"  {command}")
    print(flush=True)


def _addresses(configuration: Configuration, with_api: bool) -> dict[str, str]:
    api = {"API": configuration.api_url, "Docs": f"{configuration.api_url}/docs"} if with_api else {}
    return api | {
        "S3" if configuration.stand_in in ("minio", "ceph") else "S3, SQS": configuration.emulator_url,
        "Postgres": f"postgresql://landfall@{HOST}:{configuration.postgres_port}/landfall",
        "Bucket": configuration.bucket,
        **({"Sign-in": configuration.provider_url} if configuration.has_provider else {}),
        "Logs": _short(configuration.logs),
    }


def _commands(configuration: Configuration) -> list[str]:
    keys = "AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}".format(*_keys(configuration))
    aws = f"{keys} AWS_REGION=us-east-1 aws"
    dev = f"{_variables(configuration)}.venv/bin/python -m dev"
    # Ada is an operator; any other name is a member's.
    token = [f"TOKEN=$({dev} token ada)"] if configuration.has_provider else []
    curl = 'curl -H "Authorization: Bearer $TOKEN"' if token else "curl"
    return [
        *token,
        f"{curl} -X POST {configuration.api_url}/api/session -H 'Content-Type: application/json' "
        """-d '{"session_id": "test_123"}'""",
        f"{dev} put README.md",
        f"{aws} --endpoint-url {configuration.emulator_url} s3 cp README.md s3://{configuration.bucket}/  # the same",
        f"{curl} {configuration.api_url}/api/files",
    ]


def _keys(configuration: Configuration) -> tuple[str, str]:
    """What a shell is told as keys. Those of a cluster are somebody's secret, and no terminal is to show them."""
    if configuration.stand_in == "ceph":
        return "$CEPH_ACCESS_KEY", "$CEPH_SECRET_KEY"
    return configuration.access_key, configuration.secret_key


def _short(path: Path) -> str:
    """``path``, relative to the project's folder if it is in there."""
    return str(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path)


def _variables(configuration: Configuration) -> str:
    """What `dev put` has to be told when this is not the default folder; the rest is noted there."""
    default = PROJECT / ".landfall"
    return "" if configuration.home == default else f"LANDFALL_HOME={shlex.quote(str(configuration.home))} "


def _by_hand(configuration: Configuration) -> str:
    """What `chalice local` has to be told when this is not the default instance."""
    wanted = {
        "LANDFALL_DATABASE_URL": configuration.database_url,
        "AWS_ENDPOINT_URL": configuration.emulator_url,
        "LANDFALL_BUCKET": configuration.bucket,
        **dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), _keys(configuration), strict=True)),
    }
    default = Configuration(configuration.home)
    usual = {default.database_url, default.emulator_url, default.bucket, default.access_key}
    return "".join(f"{name}={value} " for name, value in wanted.items() if value not in usual)
