"""Routes that act on many files at once."""

from collections.abc import Sequence
from typing import Any

from chalicelib.api.http import problems
from chalicelib.api.http.endpoint import StepwiseCall, stepwise_endpoint
from chalicelib.api.schemas.bulk import BulkFiles, BulkOut
from chalicelib.services.accounts.memberships import act_on_each
from chalicelib.services.removal import bulk
from chalicelib.services.removal.bulk import Outcome


@stepwise_endpoint(body=BulkFiles, response=BulkOut)
def bulk_delete(call: StepwiseCall[None, None, BulkFiles]) -> dict[str, Any]:
    """Delete up to 1,000 files.

    The answer is 200 even if some or all of them fail: see the `status` of each.
    """
    return _results(call, act_on_each(call.ctx, call.body.distinct_ids(), "editor", bulk.delete_files, Outcome))


@stepwise_endpoint(body=BulkFiles, response=BulkOut)
def bulk_restore(call: StepwiseCall[None, None, BulkFiles]) -> dict[str, Any]:
    """Restore up to 1,000 deleted files.

    The answer is 200 even if some or all of them fail: see the `status` of each. A file that is there already is left
    as it is.
    """
    return _results(call, act_on_each(call.ctx, call.body.distinct_ids(), "editor", bulk.restore_files, Outcome))


def _results(call: StepwiseCall, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {"results": [_result(call, outcome) for outcome in outcomes]}


def _result(call: StepwiseCall, outcome: Outcome) -> dict[str, Any]:
    problem, error = None, outcome.error
    if error is not None:
        path = f"/api/files/{outcome.file_id}"
        problem = problems.document(problems.kind_of(type(error)), str(error), path, call.exchange.request_id)
    return {"file_id": outcome.file_id, "status": "failed" if problem else "done", "problem": problem}
