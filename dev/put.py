"""Puts a file straight into the bucket, as any S3 client would, for people without the AWS command line."""

import mimetypes
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from dev.configuration import Configuration
from dev.infra import client
from dev.problem import StackProblem, first_line


def put(configuration: Configuration, file: Path, key: str) -> str:
    """Upload ``file`` as ``key``; returns the object's version id.

    Raises:
        StackProblem: the file cannot be read, or the emulator is not there.
    """
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    keys = configuration.access_key, configuration.secret_key
    s3 = client("s3", configuration.emulator_url, *keys, s3={"addressing_style": "path"})
    try:
        with file.open("rb") as body:
            answer = s3.put_object(Bucket=configuration.bucket, Key=key, Body=body, ContentType=kind)
    except OSError as error:
        raise StackProblem(f"{file} cannot be read: {error.strerror}.") from None
    except (BotoCoreError, ClientError) as error:
        raise StackProblem(f"The upload failed: {first_line(error)} (is `make run` running?)") from None
    return str(answer.get("VersionId", ""))
