"""The CloudFormation of ``infra/``, merged into one template for ``chalice package --merge-template``.

Chalice takes one file to merge; we have several, one for each concern. On the way, anchors and merge keys of YAML are
resolved, and CloudFormation's short forms (``!Ref``) become their long ones.
"""

import json
from pathlib import Path
from typing import Any

from chalice.package import YAMLTemplateSerializer

PROJECT = Path(__file__).resolve().parent.parent
PARTS = ("resources", "database", "identity", "service", "jobs", "site", "watch", "audits", "credentials", "backup")
SECTIONS = ("Parameters", "Rules", "Conditions", "Globals", "Resources", "Outputs")

Template = dict[str, Any]


def load(part: str, source: Path = PROJECT) -> Template:
    """One file of the checkout's ``infra/``."""
    path = source / "infra" / f"{part}.yaml"
    loaded: Template = YAMLTemplateSerializer().load_template(path.read_text(), path.name)
    return loaded


def merged(source: Path = PROJECT) -> Template:
    """All files as one template.

    Raises:
        ValueError: two files define the same thing.
    """
    whole: Template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Landfall: files that land in object storage, known at once and never wrongly",
    }
    for part in PARTS:
        content = load(part, source)
        for section in SECTIONS:
            target = whole.setdefault(section, {})
            for name, definition in content.get(section, {}).items():
                if name in target:
                    raise ValueError(f"{section}.{name} is defined twice; the second time in infra/{part}.yaml.")
                target[name] = definition
    _open_endpoint(whole)
    _encrypt_logs(whole)
    return whole


def _open_endpoint(whole: Template) -> None:
    """Let S3's endpoint pass everything that the functions' roles may do: they have no other way to S3."""
    resources = whole["Resources"]
    roles = [resource["Properties"] for name, resource in resources.items() if name.endswith("Role")]
    policies = [policy for role in roles for policy in role.get("Policies", [])]
    asked = {
        action
        for policy in [*policies, resources["LocksFiles"]["Properties"]]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        if action.startswith("s3:")
    }
    [passing] = whole["Resources"]["S3Endpoint"]["Properties"]["PolicyDocument"]["Statement"]
    passing["Action"] = sorted(asked)


def _encrypt_logs(whole: Template) -> None:
    """Have every log be encrypted with the key `KmsKeyArn`, if there is one."""
    for resource in whole["Resources"].values():
        if resource.get("Type") == "AWS::Logs::LogGroup":
            resource["Properties"]["KmsKeyId"] = {
                "Fn::If": ["HasKmsKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]
            }


def write_merged(folder: Path, source: Path = PROJECT) -> Path:
    """Write `merged` into ``folder`` and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "infra.json"
    path.write_text(json.dumps(merged(source), indent=1))
    return path
