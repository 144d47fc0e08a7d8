"""What tests read from a CloudFormation template that SAM has expanded."""

from collections.abc import Iterator
from typing import Any

Template = dict[str, Any]
Statement = dict[str, Any]


def of_type(template: Template, kind: str) -> dict[str, Any]:
    """The resources of one type, by name."""
    return {name: item for name, item in template["Resources"].items() if item["Type"] == kind}


def statements_of(template: Template) -> Iterator[tuple[str, Statement]]:
    """Every statement of every identity policy, with the name of its role or managed policy."""
    for name, item in template["Resources"].items():
        properties = item.get("Properties", {})
        if item["Type"] == "AWS::IAM::Role":
            for policy in properties.get("Policies", []):
                yield from ((name, statement) for statement in policy["PolicyDocument"]["Statement"])
        if item["Type"] == "AWS::IAM::ManagedPolicy":
            yield from ((name, statement) for statement in properties["PolicyDocument"]["Statement"])


def as_list(value: Any) -> list[Any]:
    """A value that IAM lets stand alone, as a list."""
    return value if isinstance(value, list) else [value]


def bucket_statement(template: Template, sid: str, policy: str = "FilesBucketPolicy") -> Statement:
    """One statement of a bucket's policy."""
    document = template["Resources"][policy]["Properties"]["PolicyDocument"]
    (statement,) = [one for one in document["Statement"] if one["Sid"] == sid]
    return dict(statement)
