"""What temporary credentials of S3 may do, as a session policy of IAM: the files below one prefix, and nothing else.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html and, for pattern characters,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.errors import Unprocessable

MAX_CHARACTERS = 2_048
_READING = ("s3:GetObject",)
# A client that sends parts asks which have come. It can't delete: a part that was sent wrongly is sent again.
_WRITING = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
_PATTERN = re.compile(r"[*?$]")


@dataclass(frozen=True, slots=True)
class TemporaryCredentials:
    """Credentials of AWS, until they expire."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Access:
    """What may be done with the objects below a prefix of a bucket. ``partition``: of AWS, as in ARNs (``aws``, ``aws-cn``)."""

    bucket: str
    prefix: str
    reads: bool
    writes: bool
    partition: str = "aws"


def session_policy(access: Access) -> str:
    """The policy, as compact JSON.

    IAM takes ``*`` and ``?`` in a resource or a condition for patterns, and ``${…}`` for a variable. So they are escaped. Beyond
    ASCII, a prefix is refused: the policy would be Latin-1, and a key is UTF-8.

    Raises:
        Unprocessable: there is no policy of at most 2,048 characters for this prefix.
        ValueError: the prefix is empty, which would be everybody's files.
    """
    if not access.prefix:
        raise ValueError("A policy needs a prefix.")
    if not access.prefix.isascii() or not access.prefix.isprintable():
        raise Unprocessable("S3 credentials can only be had for a prefix of ASCII characters.")
    below = _PATTERN.sub(r"${\g<0>}", access.prefix) + "*"
    bucket = f"arn:{access.partition}:s3:::{access.bucket}"
    actions = [*(_READING if access.reads else ()), *(_WRITING if access.writes else ())]
    statements: list[dict[str, Any]] = [{"Effect": "Allow", "Action": actions, "Resource": f"{bucket}/{below}"}]
    if access.reads:
        listing = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket}
        statements.append(listing | {"Condition": {"StringLike": {"s3:prefix": below}}})
    # In earlier versions of the language there are no variables, and so no escapes.
    text = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(text) > MAX_CHARACTERS:
        raise Unprocessable("The prefix is too long for S3 credentials.")
    return text
