"""Does it work? A real file, put into the bucket, has to show up, and to vanish again."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from deploy.cloud import Cloud
from deploy.migration import Migrator
from deploy.problem import DeployProblem

# Always the same key, so that the catalogue gets one row, and not one for each deployment.
KEY = "landfall-smoke-test"
# A paused database needs 15 s to wake up, functions start cold, and a new bucket takes a while to send its events.
_PATIENCE_SECONDS = 120.0


def smoke_test(cloud: Cloud, url: str, bucket: str, migrator: Migrator, report: Callable[[str], None]) -> None:
    """Ask the API how it is; then put a file, find it in the database, delete it, and find it gone.

    The API must refuse to list files to a caller whom nobody knows.

    Raises:
        DeployProblem: says what didn't happen in time.
    """
    _until(lambda: _get(f"{url}/health")[0] == 200, f"{url}/health does not answer 200")
    _until(
        lambda: _get(f"{url}/ready")[0] == 200, f"{url}/ready does not answer 200", lambda: str(_get(f"{url}/ready")[1])
    )
    if (status := _get(f"{url}/api/files")[0]) != 401:
        raise DeployProblem(
            f"The smoke test failed: {url}/api/files answers {status} to a caller whom nobody knows, not 401."
        )
    s3 = cloud.client("s3")
    etag = s3.put_object(Bucket=bucket, Key=KEY, Body=str(time.time()).encode())["ETag"].strip('"')
    began = time.monotonic()
    _until(lambda: _recorded(migrator, bucket) == [etag], f"A file put into {bucket} did not show up in the database")
    report(f"A file put into the bucket was in the database {time.monotonic() - began:.1f} s later.")
    s3.delete_object(Bucket=bucket, Key=KEY)
    _until(lambda: _recorded(migrator, bucket) == [], "The file was deleted, and is still in the database")


def _recorded(migrator: Migrator, bucket: str) -> list[str]:
    """ETags of the file as the database has it."""
    found = migrator.invoke({"action": "find", "bucket": bucket, "key": KEY})
    return [found["etag"]] if found["state"] == "stored" else []


def _until(holds: Callable[[], bool], problem: str, details: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise DeployProblem(
                f"The smoke test failed: {problem}, after {_PATIENCE_SECONDS:.0f} s. {details()} The new version is in "
                "place; `python -m deploy rollback` goes back, and docs/operations.md says where to look."
            )
        time.sleep(0.25)


def _get(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=35) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (urllib.error.URLError, OSError, ValueError) as error:
        return 0, str(error)
