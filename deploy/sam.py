"""SAM expanded here, for emulators: AWS does it itself. Runs in the template tools' environment, not in ours.

``python sam.py REGION [ministack] < sam.json > cloudformation.json``
"""

import json
import os
import sys
from typing import Any


class _NoManagedPolicies:
    """Templates here name policies by ARN."""

    def load(self) -> dict[str, str]:
        return {}


def main() -> None:
    """Expand; on failure print the reasons, a line each, and exit with 1."""
    os.environ["AWS_DEFAULT_REGION"] = sys.argv[1]  # the translator asks boto3, and boto3 the environment
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.translator.transform import transform

    try:
        template = transform(json.load(sys.stdin), {}, _NoManagedPolicies())
    except InvalidDocumentException as error:
        sys.exit("\n".join(str(cause.message) for cause in error.causes))
    if "ministack" in sys.argv:
        _suit_ministack(template)
    json.dump(template, sys.stdout)


def _suit_ministack(template: dict[str, Any]) -> None:
    """Say three things in a way that ministack 1.5 understands.

    It reads which bodies are binary from a property only, and overlooks it in an API's definition. It takes the value of
    a parameter for text: its event source compares the maximum concurrency with a number, fails, and delivers nothing.
    And it takes no snapshots, but refuses SnapStart for the Python 3.11 that packages may have here.
    """
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::ApiGateway::RestApi":
            properties["BinaryMediaTypes"] = properties["Body"].get("x-amazon-apigateway-binary-media-types", [])
        if resource["Type"] == "AWS::Lambda::Function":
            properties.pop("SnapStart", None)
        if resource["Type"] == "AWS::Lambda::EventSourceMapping":
            scaling = properties["ScalingConfig"]
            if isinstance(most := scaling["MaximumConcurrency"], dict):
                scaling["MaximumConcurrency"] = template["Parameters"][most["Ref"]]["Default"]


if __name__ == "__main__":
    main()
