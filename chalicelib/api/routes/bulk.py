"""Routes that act on many files at once."""

from collections.abc import Sequence
from typing import Any, Literal

from chalicelib.api.http import problems
from chalicelib.api.http.endpoint import Reply, StepwiseCall, stepwise_endpoint
from chalicelib.api.http.job_replies import undeleted
from chalicelib.api.schemas.bulk import BulkFiles, BulkOut
from chalicelib.errors import TooManyJobs
from chalicelib.services.accounts.memberships import act_on_each
from chalicelib.services.jobs.undelete import begin_undelete
from chalicelib.services.removal import bulk
from chalicelib.services.removal.batches import Outcome


@stepwise_endpoint(body=BulkFiles, response=BulkOut)
def bulk_delete(call: StepwiseCall[None, None, BulkFiles]) -> dict[str, Any]:
    """Delete up to 1,000 files.

    The answer is 200 even if some or all of them fail: see the `status` of each.
    """
    return _results(call, act_on_each(call.ctx, call.body.distinct_ids(), "editor", bulk.delete_files, Outcome))


@stepwise_endpoint(body=BulkFiles, response=BulkOut, also=(202,), errors=(TooManyJobs,))
def bulk_restore(call: StepwiseCall[None, None, BulkFiles]) -> Reply:
    """Restore up to 1,000 deleted files.

    The answer is 200 even if some or all of them fail: see the `status` of each. A file that is there already is left
    as it is. If it takes longer than some seconds, 202: `job_id` is the job that is still at work on a file.
    """
    begun = act_on_each(call.ctx, call.body.distinct_ids(), "editor", begin_undelete, Outcome)
    outcomes = undeleted(call, begun)
    return Reply(_results(call, outcomes), 202 if any(outcome.job_id for outcome in outcomes) else 200)


def _results(call: StepwiseCall, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {"results": [_result(call, outcome) for outcome in outcomes]}


def _result(call: StepwiseCall, outcome: Outcome) -> dict[str, Any]:
    problem, error = None, outcome.error
    status: Literal["done", "failed", "in_work"] = "done" if outcome.job_id is None else "in_work"
    if error is not None:
        status = "failed"
        path = f"/api/files/{outcome.file_id}"
        problem = problems.document(problems.kind_of(type(error)), str(error), path, call.exchange.request_id)
    return {"file_id": outcome.file_id, "status": status, "problem": problem, "job_id": outcome.job_id}
