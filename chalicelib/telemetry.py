"""Structured logs and metrics, one JSON object a line on standard output, where Lambda picks them up.

Metrics use CloudWatch's embedded metric format: a log line that CloudWatch turns into metrics by itself, at no cost in
latency. Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import sys
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from chalicelib.db.recording import Recorded

Level = Literal["debug", "info", "warning", "error"]
_LEVELS = ("debug", "info", "warning", "error")
NAMESPACE = "Landfall"
# Of a batch with at most so many changes, each is logged.
_NAMED = 10

_least = "info"
# One encoder for all lines: `json.dumps` with a default makes a new one each time, and a batch writes a thousand lines.
_encode = json.JSONEncoder(default=str).encode


def configure(least: str) -> None:
    """Drop lines below ``least`` from now on."""
    global _least
    _least = least.lower()


def log(level: Level, message: str, error: BaseException | None = None, **fields: Any) -> None:
    """Write one line: time, level, message, ``fields``, and the error with its whole traceback."""
    if _LEVELS.index(level) < _LEVELS.index(_least):
        return
    line = {"time": _now(), "level": level, "message": message, **fields}
    if error is not None:
        line |= {"error": repr(error), "traceback": "".join(traceback.format_exception(error))}
    _write([line])


def log_changes(recorded: Sequence["Recorded"], request_id: str) -> None:
    """Write one line for a batch: how many changes had which outcome. The changes of a small batch are named, too.

    Those of larger ones are named at level ``debug``. A line for each change would take a tenth of the batch's time.
    """
    if not recorded:
        return
    line: dict[str, Any] = {"request_id": request_id, "outcomes": Counter(item.outcome for item in recorded)}
    if len(recorded) <= _NAMED or _least == "debug":
        line["changes"] = [
            {
                "file_id": item.file_id,
                "outcome": item.outcome,
                "event": item.change.event_name,
                "bucket": item.change.bucket,
                "key": item.change.key,
                "version_id": item.change.version_id,
            }
            for item in recorded
        ]
    log("info", "recorded", **line)


def metric(values: Mapping[str, float], dimensions: Mapping[str, str], unit: str = "Count") -> None:
    """Write metrics of the same unit and dimensions."""
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": unit} for name in values],
    }
    stamp = int(datetime.now(UTC).timestamp() * 1000)
    _write([{"_aws": {"Timestamp": stamp, "CloudWatchMetrics": [directive]}, **dimensions, **values}])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write(lines: Sequence[dict[str, Any]]) -> None:
    """Write all lines at once, so that those of concurrent threads don't interleave."""
    sys.stdout.write("".join(f"{_encode(line)}\n" for line in lines))
    sys.stdout.flush()
