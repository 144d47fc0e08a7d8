"""Where a deployment goes: an account and region of AWS, or an emulator when ``AWS_ENDPOINT_URL`` names one."""

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from deploy.problem import DeployProblem


@dataclass(frozen=True)
class Cloud:
    """``endpoint`` is None for AWS itself."""

    account: str
    region: str
    endpoint: str | None = None

    @cache  # noqa: B019 - one object in a process
    def client(self, service: str) -> Any:
        """A boto3 client, with the credentials that boto3 finds."""
        addressing = {"addressing_style": "path"} if self.endpoint else {}
        # A migration may take a quarter of an hour, and routers forget a connection without traffic. And a call that
        # seems lost must not be made twice.
        retries = {"total_max_attempts": 1} if service == "lambda" else {"mode": "standard"}
        config = Config(s3=addressing, connect_timeout=10, read_timeout=910, retries=retries, tcp_keepalive=True)
        return boto3.client(service, region_name=self.region, endpoint_url=self.endpoint, config=config)

    def api_url(self, api_id: str, stage: str, output: str) -> str:
        """Where the API answers: ``output`` is what the stack says, which is no use on an emulator."""
        return f"{self.endpoint}/_aws/execute-api/{api_id}/{stage}" if self.endpoint else output

    def object_url(self, bucket: str, key: str) -> str:
        """URL of an object, as CloudFormation wants a template's."""
        host = self.endpoint or f"https://s3.{self.region}.amazonaws.com"
        return f"{host}/{bucket}/{key}"


def connect() -> Cloud:
    """The cloud that the environment points at.

    Raises:
        DeployProblem: no region, no credentials, or ones that AWS does not take.
    """
    try:
        # Lambda and most tools call it AWS_REGION, which boto3 doesn't read.
        session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
        region, credentials = session.region_name, session.get_credentials()
    except BotoCoreError as error:
        raise DeployProblem(f"The AWS profile is not usable: {error}") from None
    if not region:
        raise DeployProblem("No AWS region is set: set AWS_REGION, or `region` in your AWS profile.")
    if credentials is None:
        raise DeployProblem(
            "No AWS credentials were found: run `aws configure` or `aws sso login`, or set AWS_PROFILE or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    tokens = session.client(
        "sts", config=Config(connect_timeout=10, read_timeout=20, retries={"total_max_attempts": 2})
    )
    try:
        account = tokens.get_caller_identity()["Account"]
    except (ClientError, BotoCoreError) as error:
        raise DeployProblem(f"AWS does not take these credentials, or does not answer: {error}") from None
    # An emulator, if AWS_ENDPOINT_URL or the profile names one.
    endpoint = None if "amazonaws.com" in tokens.meta.endpoint_url else tokens.meta.endpoint_url
    return Cloud(account, region, endpoint)
