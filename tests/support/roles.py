"""What the roles of the template may do, as policies that `tests.support.iam` evaluates."""

import json
import re
from functools import cache
from typing import Any

from deploy.template import merged

# What is true of the deployment whose policies are read: further buckets, and a network of the stack's own.
_TRUE = frozenset({"HasExtraBuckets", "OwnDatabase", "InVpc"})
_PARAMETERS = {"ExtraBuckets": "extra-one,extra-two", "AWS::Partition": "aws"}


@cache
def policy_of(role: str) -> str:
    """All that a role may do in S3, its managed policies included, as one policy. A bucket has the name of its resource."""
    resources = merged()["Resources"]
    properties = resources[role]["Properties"]
    documents = [policy["PolicyDocument"] for policy in properties["Policies"]]
    for named in _plain(properties.get("ManagedPolicyArns", [])):
        if named is not None and named in resources:
            documents.append(resources[named]["Properties"]["PolicyDocument"])
    statements = [statement for document in documents for statement in document["Statement"]]
    plain = [
        {name: value for name, value in _plain(statement).items() if value is not None}
        for statement in statements
        if any(action.startswith("s3:") for action in _listed(statement["Action"]))
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": plain})


def arn(bucket: str, key: str = "") -> str:
    """The ARN of a bucket, or of an object in it."""
    return f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"


def _plain(value: Any) -> Any:
    """A value of the template without intrinsic functions."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, argument),) = value.items()
        if name in _INTRINSIC:
            return _INTRINSIC[name](argument)
    return {name: _plain(one) for name, one in value.items()}


def _ref(name: str) -> Any:
    return None if name == "AWS::NoValue" else _PARAMETERS.get(name, name)


def _sub(argument: Any) -> str:
    text, values = argument if isinstance(argument, list) else (argument, {})
    known = {name: _plain(value) for name, value in values.items()}
    return re.sub(
        r"\$\{([^}]+)\}", lambda found: str(known.get(found[1]) or _att(found[1].split(".")) or _ref(found[1])), text
    )


def _att(names: list[str]) -> str | None:
    return arn(names[0]) if names[1:] == ["Arn"] else None


def _split(argument: Any) -> list[str]:
    return str(_plain(argument[1])).split(argument[0])


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


_INTRINSIC: dict[str, Any] = {
    "Ref": _ref,
    "Fn::GetAtt": lambda names: _att(names if isinstance(names, list) else names.split(".")) or ".".join(names),
    "Fn::Sub": _sub,
    "Fn::If": lambda argument: _plain(argument[1 if argument[0] in _TRUE else 2]),
    "Fn::Join": lambda argument: argument[0].join(_plain(argument[1])),
    "Fn::Split": _split,
}
