"""Preflights of browsers, which API Gateway answers without a function: Chalice writes `*` into them, and knows no parameters.

So the packaged template is edited: with `AllowedOrigins` other than `*`, a preflight names the page's origin if it is
one of these.
"""

import json
from pathlib import Path
from typing import Any

_ALLOWED = "method.response.header.Access-Control-Allow-Origin"
# API Gateway keeps the header's name as the client wrote it. Browsers write it either way, over HTTP/1.1 or HTTP/2.
_NAME_ORIGIN = """#set($origin = $input.params("Origin"))
#if($origin == "")
#set($origin = $input.params("origin"))
#end
#set($allowed = ",${Origins},")
#set($wanted = ",$origin,")
#set($context.responseOverride.header.Vary = "Origin")
#if($origin != "" && $allowed.contains($wanted))
#set($context.responseOverride.header.Access-Control-Allow-Origin = $origin)
#end
"""
_NOTHING = {"Ref": "AWS::NoValue"}


def limit_preflights(template: Path) -> None:
    """Have the API of a packaged template answer preflights by the parameter `AllowedOrigins`."""
    content = json.loads(template.read_text())
    for resource in content["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Api":
            for path in resource["Properties"]["DefinitionBody"]["paths"].values():
                if "options" in path:
                    _limit(path["options"])
    # Without blanks: CloudFormation takes a megabyte, and each of some hundred preflights has grown.
    template.write_text(json.dumps(content, separators=(",", ":")))


def _limit(preflight: dict[str, Any]) -> None:
    """Edit the definition of one OPTIONS method."""
    for answer in preflight["responses"].values():
        answer["headers"]["Vary"] = {"type": "string"}
    for answer in preflight["x-amazon-apigateway-integration"]["responses"].values():
        answer["responseParameters"][_ALLOWED] = _if_any("'*'", _NOTHING)
        origins = {"Origins": {"Fn::Join": [",", {"Ref": "AllowedOrigins"}]}}
        answer["responseTemplates"] = _if_any(_NOTHING, {"application/json": {"Fn::Sub": [_NAME_ORIGIN, origins]}})


def _if_any(value: Any, otherwise: Any) -> dict[str, Any]:
    return {"Fn::If": ["AnyOrigin", value, otherwise]}
