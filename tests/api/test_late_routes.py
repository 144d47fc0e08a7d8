"""Routes are named by text, so that their modules are imported late: every name is right, and none is forgotten."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

from chalicelib.api import routes
from chalicelib.api.routes import ROUTES

ROOT = Path(__file__).parents[2]


def test_every_endpoint_is_in_the_table() -> None:
    modules = sorted(path.stem for path in Path(routes.__path__[0]).glob("[!_]*.py"))
    written = {
        (module, name)
        for module in modules
        for name, value in vars(import_module(f"{routes.__name__}.{module}")).items()
        if hasattr(value, "endpoint") and value.__module__ == f"{routes.__name__}.{module}"
    }
    assert {(route.view.module, route.view.__name__) for route in ROUTES} == written


def test_every_name_in_the_table_is_that_of_an_endpoint() -> None:
    for route in ROUTES:
        assert route.view.endpoint.function.__name__ == route.view.__name__


def test_importing_the_application_imports_no_module_of_a_route() -> None:
    assert _imported_by("import app") == set()


def test_a_request_imports_the_module_of_its_route_alone() -> None:
    event = {
        "httpMethod": "GET", "path": "/health", "resource": "/health", "headers": {}, "body": None,
        "multiValueQueryStringParameters": None, "pathParameters": None, "stageVariables": None, "isBase64Encoded": False,
        "requestContext": {"httpMethod": "GET", "resourcePath": "/health", "path": "/health"},
    }  # fmt: skip
    assert _imported_by(f"import app; app.app({event!r}, None)") == {"chalicelib.api.routes.health"}


def test_a_function_in_lambda_imports_while_it_starts_what_it_serves() -> None:
    assert "chalicelib.api.routes.files" in _imported_by("import app", _HANDLER="app.app")
    ingesting = {f"chalicelib.triggers.{name}" for name in ("ingest", "reading", "recording", "following")}
    assert _imported_by("import app", _HANDLER="app.ingest") == ingesting


def _imported_by(code: str, **environment: str) -> set[str]:
    """The modules of routes and triggers that a new process has imported after ``code``."""
    command = f"import sys; {code}; print('imported', *sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    names = run.stdout.rpartition("imported ")[2].split()
    return {name for name in names if name.startswith((f"{routes.__name__}.", "chalicelib.triggers."))}
