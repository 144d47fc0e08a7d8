"""Packages on their way to Lambda: in a bucket of their own, each file under its hash."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from deploy.cloud import Cloud
from deploy.packaging import Package, digest
from deploy.problem import DeployProblem
from deploy.template import PROJECT
from dev.environments import Environment, ensure_environment

TEMPLATE_TOOLS = Environment("template", "The template tools")


@dataclass(frozen=True)
class Artifacts:
    """Where a package lies, and what it runs on.

    Attributes:
        code, layer: ``s3://`` URIs.
        runtime, architecture: of its functions.
        parameters: the template's parameters, with their defaults.
        template_url: "" if it was not uploaded just now.
    """

    code: str
    layer: str
    runtime: str
    architecture: str
    parameters: Mapping[str, str]
    template_url: str = ""

    @classmethod
    def of(cls, template: dict[str, Any], template_url: str = "") -> "Artifacts":
        """What a template refers to, whether it is SAM's or expanded."""
        code, layer, runtime, architecture = "", "", "", ""
        for resource in template.get("Resources", {}).values():
            properties = resource.get("Properties", {})
            if resource["Type"] in ("AWS::Serverless::Function", "AWS::Lambda::Function"):
                code = _uri(properties.get("CodeUri") or properties.get("Code"))
                runtime, architecture = properties["Runtime"], properties.get("Architectures", ["x86_64"])[0]
            if resource["Type"] in ("AWS::Serverless::LayerVersion", "AWS::Lambda::LayerVersion"):
                layer = _uri(properties.get("ContentUri") or properties.get("Content"))
        parameters = {name: str(item.get("Default", "")) for name, item in template.get("Parameters", {}).items()}
        return cls(code, layer, runtime, architecture, parameters, template_url)


def upload(cloud: Cloud, package: Package) -> Artifacts:
    """Upload zips and template. What is there already is not sent again."""
    bucket = _ensure_bucket(cloud)
    code, layer = (_upload(cloud, bucket, path, path.suffix) for path in (package.code, package.layer))
    template = _with_locations(json.loads(package.template.read_text()), code, layer)
    if cloud.endpoint:
        template = _expand(template, cloud.region)
    path = package.folder / "template.json"
    path.write_text(json.dumps(template))
    uri = _upload(cloud, bucket, path, path.suffix)
    url = cloud.object_url(bucket, uri.removeprefix(f"s3://{bucket}/"))
    return Artifacts.of(template, url)


def _uri(place: Any) -> str:
    return f"s3://{place['S3Bucket']}/{place['S3Key']}" if isinstance(place, dict) else str(place)


def bucket_name(cloud: Cloud) -> str:
    """The name of the bucket of the packages, which may not exist yet."""
    return f"landfall-artifacts-{cloud.account}-{cloud.region}"


def _ensure_bucket(cloud: Cloud) -> str:
    """Make sure that the bucket of the packages exists; returns its name.

    It is outside the stack, so that it is there before the stack is, and keeps earlier releases to go back to. Its name
    can be guessed, so each request says which account must own it: code is not sent to, or taken from, anybody else.
    """
    s3, name = cloud.client("s3"), bucket_name(cloud)
    try:
        s3.head_bucket(Bucket=name, ExpectedBucketOwner=cloud.account)
        return name
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise DeployProblem(f"The bucket {name} for packages can't be used: {error}") from None
    region = {} if cloud.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": cloud.region}}
    s3.create_bucket(Bucket=name, **region)
    blocked = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=dict.fromkeys(blocked, True))
    return name


def _upload(cloud: Cloud, bucket: str, path: Path, suffix: str) -> str:
    s3, key = cloud.client("s3"), f"landfall/{digest(path)}{suffix}"
    try:
        s3.head_object(Bucket=bucket, Key=key, ExpectedBucketOwner=cloud.account)
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        s3.upload_file(str(path), bucket, key, ExtraArgs={"ExpectedBucketOwner": cloud.account})
    return f"s3://{bucket}/{key}"


def _with_locations(template: dict[str, Any], code: str, layer: str) -> dict[str, Any]:
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if "CodeUri" in properties:
            properties["CodeUri"] = code
        if "ContentUri" in properties:
            properties["ContentUri"] = layer
    return template


def _expand(template: dict[str, Any], region: str) -> dict[str, Any]:
    python = ensure_environment(TEMPLATE_TOOLS, PROJECT / ".landfall" / "logs")
    command = [str(python), str(PROJECT / "deploy" / "sam.py"), region, "ministack"]
    result = subprocess.run(command, input=json.dumps(template), capture_output=True, text=True)
    if result.returncode != 0:
        raise DeployProblem(f"The template could not be expanded: {result.stderr.strip()}")
    expanded: dict[str, Any] = json.loads(result.stdout)
    return expanded
