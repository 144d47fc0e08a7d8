"""The packaged template on the emulator: what a request costs cold and warm, beside a function that does nothing.

The emulator runs functions as processes of this machine, so the absolute times say nothing about Lambda. What Landfall
adds to an empty function does.
"""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import urllib3

from bench.figures import Figure, milliseconds, seconds
from tests.support.stacks import deployed

_COLD_ROUNDS, _WARM_ROUNDS = 7, 300
_EMPTY = "def handler(event, context):\n    return {'statusCode': 200, 'body': '{}'}\n"


def run() -> Iterator[Figure]:
    """Deploy to an emulator of its own, and ask for the list."""
    with TemporaryDirectory(prefix="landfall-deployed-") as home:
        Path(home).chmod(0o755)
        with deployed(Path(home)) as (stack, deployment):
            functions = deployment.cloud.client("lambda")
            name = deployment.stack.physical_id("APIHandler") or ""
            configuration = functions.get_function_configuration(FunctionName=name)
            _make_empty(functions, configuration)
            yield from _cold_starts(functions, name, stack.headers)
            pool = urllib3.PoolManager(headers=stack.headers)
            url = f"{stack.api_url}/api/files"
            assert pool.request("GET", url).status == 200
            warm = [seconds(lambda: pool.request("GET", url)) for _ in range(_WARM_ROUNDS)]
            slowest = quantiles(warm, n=20)[-1]
            text = f"{median(warm) * 1000:.1f} ms, {slowest * 1000:.1f} ms"
            yield Figure(_GROUP, "warm GET /api/files through the API's URL: p50, p95", text)


_GROUP = "Deployed on the emulator"


# The emulator unpacks a function's layers anew at each cold start, which no cloud does.
_EMPTY_ONES = {"empty": "a function that does nothing", "layered": "a function that does nothing, with the same layer"}


def _cold_starts(functions: Any, name: str, headers: dict[str, str]) -> Iterator[Figure]:
    calls = {name: _invoking(functions, name, _request(headers))}
    calls |= {empty: _invoking(functions, empty, {}) for empty in _EMPTY_ONES}
    times: dict[str, list[float]] = {function: [] for function in calls}
    for _ in range(_COLD_ROUNDS):
        for function, call in calls.items():
            _cool(functions, function)
            times[function].append(call())
    for empty, words in _EMPTY_ONES.items():
        mine, theirs = times[name], times[empty]
        yield Figure(
            _GROUP,
            "cold invocation of GET /api/files, with a token",
            milliseconds(mine),
            words,
            milliseconds(theirs),
            median(mine) / median(theirs),
            "≤ 3" if empty == "empty" else "",
        )


def _invoking(functions: Any, name: str, event: dict[str, Any]) -> Callable[[], float]:
    payload = json.dumps(event)

    def call() -> float:
        start = time.perf_counter()
        answer = functions.invoke(FunctionName=name, Payload=payload)
        elapsed = time.perf_counter() - start
        assert json.load(answer["Payload"])["statusCode"] == 200
        return elapsed

    return call


def _cool(functions: Any, name: str) -> None:
    """Change the function's environment, so that the next invocation starts a new process."""
    variables = functions.get_function_configuration(FunctionName=name).get("Environment", {}).get("Variables", {})
    functions.update_function_configuration(
        FunctionName=name, Environment={"Variables": variables | {"COOLED": str(time.time_ns())}}
    )


def _make_empty(functions: Any, like: dict[str, Any]) -> None:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("empty.py", _EMPTY)
    layers = {"empty": [], "layered": [layer["Arn"] for layer in like["Layers"]]}
    for name, attached in layers.items():
        functions.create_function(
            FunctionName=name, Runtime=like["Runtime"], Role=like["Role"], Handler="empty.handler", Layers=attached,
            Code={"ZipFile": code.getvalue()}, MemorySize=1024, Timeout=29,
        )  # fmt: skip


def _request(headers: dict[str, str]) -> dict[str, Any]:
    return {
        "resource": "/api/files", "path": "/api/files", "httpMethod": "GET", "headers": {"Host": "api", **headers},
        "multiValueQueryStringParameters": None, "pathParameters": None, "stageVariables": None, "body": None,
        "isBase64Encoded": False,
        "requestContext": {"resourcePath": "/api/files", "httpMethod": "GET", "path": "/v1/api/files", "stage": "v1"},
    }  # fmt: skip
