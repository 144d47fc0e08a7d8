"""The clients that people drop files with: AWS CLI, rclone, and boto3's transfer manager."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
from boto3.s3.transfer import TransferConfig

from dev.environments import Environment, ensure_environment
from tests.support.stacks import Stack
from tests.support.waiting import eventually

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is dropped: small, empty, large enough for parts, and with a name that needs care."""
    folder = tmp_path_factory.mktemp("drop")
    random = Random(1)
    for name, size in {"small.txt": 12, "empty.bin": 0, "large.bin": 20 * MIB + 3, "Übung 1+2 & 3.md": 99}.items():
        (folder / name).write_bytes(random.randbytes(size))
    return folder


def environment(stack: Stack) -> dict[str, str]:
    # rclone 1.60 does not start where a company's own certificates are named.
    inherited = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    return inherited | {
        "AWS_ACCESS_KEY_ID": stack.access_key,
        "AWS_SECRET_ACCESS_KEY": stack.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def assert_landed(stack: Stack, prefix: str, folder: Path) -> None:
    """Every file of ``folder`` is in the catalogue below ``prefix``, as S3 has it, and nothing else is."""
    expected = {f"{prefix}/{path.name}": path for path in folder.iterdir()}

    def found() -> dict[str, Any]:
        items = stack.get("/api/files?" + urlencode({"prefix": f"{prefix}/", "limit": 1000}))["items"]
        return {item["key"]: item for item in items}

    assert eventually(lambda: found().keys() == expected.keys())
    for key, item in found().items():
        head = stack.s3.head_object(Bucket=stack.bucket, Key=key)
        assert (item["size"], item["etag"]) == (expected[key].stat().st_size, head["ETag"].strip('"'))
        assert item["name"] == expected[key].name
        body = stack.s3.get_object(Bucket=stack.bucket, Key=key)["Body"].read()
        assert hashlib.sha256(body).digest() == hashlib.sha256(expected[key].read_bytes()).digest()


def test_files_of_boto3s_transfer_manager_land(stack: Stack, folder: Path) -> None:
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB)
    for path in folder.iterdir():
        stack.s3.upload_file(str(path), stack.bucket, f"boto3/{path.name}", Config=config)
    assert_landed(stack, "boto3", folder)


def test_files_of_the_aws_cli_land(stack: Stack, folder: Path, tmp_path: Path) -> None:
    python = ensure_environment(Environment("clients", "The AWS CLI"), tmp_path)
    endpoint = stack.s3.meta.endpoint_url
    run(
        stack,
        str(python.with_name("aws")),
        "--endpoint-url",
        endpoint,
        "s3",
        "sync",
        str(folder),
        f"s3://{stack.bucket}/cli/",
        tries=3,
    )

    assert_landed(stack, "cli", folder)

    run(
        stack,
        str(python.with_name("aws")),
        "--endpoint-url",
        endpoint,
        "s3",
        "rm",
        "--recursive",
        f"s3://{stack.bucket}/cli/",
    )
    assert eventually(lambda: stack.get("/api/files?prefix=cli/")["items"] == [])


@pytest.mark.skipif(shutil.which("rclone") is None, reason="there is no rclone here (Debian: apt install rclone)")
def test_files_of_rclone_land(stack: Stack, folder: Path) -> None:
    remote = (
        f":s3,provider=Other,env_auth,force_path_style,endpoint='{stack.s3.meta.endpoint_url}':{stack.bucket}/rclone"
    )
    chunks = ["--s3-upload-cutoff", "8Mi", "--s3-chunk-size", "8Mi", "--s3-no-check-bucket"]
    run(stack, "rclone", "--config", os.devnull, *chunks, "copy", str(folder), remote)

    assert_landed(stack, "rclone", folder)

    run(stack, "rclone", "--config", os.devnull, "moveto", f"{remote}/small.txt", f"{remote}/moved.txt")
    names = {path.name for path in folder.iterdir()} - {"small.txt"} | {"moved.txt"}
    assert eventually(lambda: {item["name"] for item in stack.get("/api/files?prefix=rclone/")["items"]} == names)


def run(stack: Stack, *command: str, tries: int = 1) -> None:
    """Run a client, which must succeed. On MinIO it may take several ``tries``.

    On a busy machine botocore now and then misreads MinIO's answer to ``Expect: 100-continue`` as headers and misses the
    ETag of a part. The command that is tried again must be one that sends what is missing.
    """
    for left in reversed(range(tries if stack.keys_are_paths else 1)):
        result = subprocess.run(command, env=environment(stack), capture_output=True, text=True, timeout=120)
        if result.returncode == 0 or not left or "'ETag'" not in result.stderr:
            break
    assert result.returncode == 0, result.stderr
