"""The API about itself: its OpenAPI document, and Swagger UI to read it with, which needs nothing from elsewhere."""

import json
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from chalicelib.api.http import problems
from chalicelib.api.http.endpoint import Reply, StepwiseCall, stepwise_endpoint
from chalicelib.api.routes import ROUTES
from chalicelib.api.schemas.common import Input, Output
from chalicelib.errors import NotFound
from chalicelib.settings import Settings

_START = "start.js"
_TYPES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", _START: "text/javascript"}
_HEADERS = {"X-Content-Type-Options": "nosniff"}
# The page runs nothing but the three assets, and talks to this API and to S3, where downloads are redirected to. Swagger UI
# draws icons as data: images, shows what it downloads as blob: ones, and sets style attributes.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src blob:; connect-src 'self' {storage}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Landfall API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{docs}swagger-ui.css">
</head>
<body>
<div id="swagger-ui" data-document="{root}openapi.json"></div>
<noscript>This page needs JavaScript. The document itself: <a href="{root}openapi.json">openapi.json</a></noscript>
<script src="{docs}swagger-ui-bundle.js"></script>
<script src="{docs}start.js"></script>
</body>
</html>
"""

_SCRIPT = """const element = document.getElementById("swagger-ui");
window.ui = SwaggerUIBundle({
  url: element.dataset.document,
  domNode: element,
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
  // It would send fields of a form that were left empty, unless each of them is unticked.
  plugins: [() => ({ wrapComponents: { ParameterIncludeEmpty: () => () => null } })],
});
"""


class AssetPath(Input):
    """Which file of the documentation page."""

    asset: str


class ProblemPath(Input):
    """Which kind of problem."""

    name: str


class ProblemKind(Output):
    """A kind of problem, as the documents of that kind name it."""

    type: str
    title: str
    status: int


@stepwise_endpoint(response=None, anonymous=True)
def openapi_document(call: StepwiseCall[None, None, None]) -> Reply:
    """Read this document."""
    has_demo_users = call.ctx.settings.identity == "demo"
    return Reply(json.dumps(_document(has_demo_users) | {"servers": [{"url": call.base_url}]}))


@stepwise_endpoint(response=None, status=302, anonymous=True, media_type="text/plain")
def root(call: StepwiseCall[None, None, None]) -> Reply:
    """Go to the documentation page."""
    return Reply(None, 302, {"Location": f"{call.base_url}/docs"})


@stepwise_endpoint(path=ProblemPath, response=ProblemKind, anonymous=True, errors=(NotFound,))
def read_problem(call: StepwiseCall[ProblemPath, None, None]) -> problems.Kind:
    """Read about a kind of problem.

    The `type` of every problem leads here.
    """
    kinds = {kind.name: kind for kind in (*problems.KINDS.values(), problems.INTERNAL)}
    if call.path.name not in kinds:
        raise NotFound(f"There is no kind of problem called {call.path.name}.")
    return kinds[call.path.name]


@stepwise_endpoint(response=None, anonymous=True, media_type="text/html")
def docs_page(call: StepwiseCall[None, None, None]) -> Reply:
    """Browse this document."""
    # Relative to the page, whatever stage or base path API Gateway puts in front of it.
    root, docs = ("../", "") if call.exchange.url_path.endswith("/") else ("", "docs/")
    policy = _POLICY.format(storage=_storage(call.ctx.settings))
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy, **_HEADERS}
    return Reply(_PAGE.format(root=root, docs=docs), headers=headers)


@stepwise_endpoint(
    path=AssetPath,
    response=None,
    anonymous=True,
    media_type="text/javascript",
    errors=(NotFound,),
)
def docs_asset(call: StepwiseCall[AssetPath, None, None]) -> Reply:
    """Read a file of the documentation page.

    It is sent as plain text, and API Gateway compresses it for clients that accept that. API Gateway couldn't pass
    compressed bytes through to a browser, because it takes only the first type of an `Accept` header for a binary one.
    """
    asset = call.path.asset
    if asset not in _TYPES:
        raise NotFound(f"The documentation page has no file {asset}.")
    content_type = f"{_TYPES[asset]}; charset=utf-8"
    return Reply(_asset(asset), headers={"Content-Type": content_type, "Cache-Control": "max-age=3600", **_HEADERS})


def _storage(settings: Settings) -> str:
    """The origins of presigned links, as sources of a policy."""
    if endpoint := settings.s3_public_endpoint or settings.s3_endpoint:
        parts = urlsplit(endpoint)
        return f"{parts.scheme}://{parts.netloc}"
    return f"https://*.s3.amazonaws.com https://*.s3.{settings.region}.amazonaws.com"


@cache
def _asset(asset: str) -> str:
    if asset == _START:
        return _SCRIPT
    import swagger_ui_dist  # saves 1 ms, and needs the vendored packages only where the page is asked for

    return str(swagger_ui_dist.read_text(asset))


@cache
def _document(has_demo_users: bool) -> dict[str, Any]:
    from chalicelib.api.http import openapi  # saves 4 ms

    return openapi.document(ROUTES, has_demo_users)
