"""Routes of owner rules."""

from chalicelib.api.http.endpoint import ADMIN, Call, Reply, StepwiseCall, endpoint, stepwise_endpoint
from chalicelib.api.http.job_replies import job_reply
from chalicelib.api.http.pages import page_reply
from chalicelib.api.schemas.common import Page, PageQuery
from chalicelib.api.schemas.jobs import JobOut
from chalicelib.api.schemas.owner_rules import OwnerRuleCreate, OwnerRuleOut, OwnerRulePath
from chalicelib.db.models import OwnerRule
from chalicelib.errors import Conflict, Forbidden, InvalidCursor, NotFound, Unprocessable
from chalicelib.services.accounts import owner_rules
from chalicelib.services.jobs.assign import begin_assigning


@endpoint(needs=ADMIN, query=PageQuery, response=Page[OwnerRuleOut], errors=(InvalidCursor, Forbidden))
def list_owner_rules(call: Call[None, PageQuery, None]) -> Reply:
    """List owner rules.

    Only for operators. In the order of their creation.
    """
    return page_reply(call, owner_rules.list_rules(call.tx, call.query.limit, call.query.cursor))


@endpoint(
    needs=ADMIN, body=OwnerRuleCreate, response=OwnerRuleOut, status=201, errors=(Forbidden, Conflict, Unprocessable)
)
def create_owner_rule(call: Call[None, None, OwnerRuleCreate]) -> Reply:
    """Say whom objects below a prefix belong to.

    Only for operators. It counts for objects that are put straight into the bucket from now on; of several rules the longest
    prefix wins. Without a rule, what is below `{user id}/` belongs to that user, and all else to nobody. 409 if there is a
    rule for the prefix. The `Location` header says where the rule is.
    """
    body = call.body
    rule = owner_rules.create_rule(call.tx, body.bucket, body.prefix, body.user_id)
    return Reply(rule, 201, {"Location": f"{call.base_url}/api/owner-rules/{rule.id}"})


@endpoint(needs=ADMIN, path=OwnerRulePath, response=OwnerRuleOut, errors=(NotFound, Forbidden))
def get_owner_rule(call: Call[OwnerRulePath, None, None]) -> OwnerRule:
    """Read an owner rule.

    Only for operators.
    """
    return owner_rules.get_rule(call.tx, call.path.rule_id)


@endpoint(needs=ADMIN, path=OwnerRulePath, response=None, status=204, errors=(NotFound, Forbidden))
def delete_owner_rule(call: Call[OwnerRulePath, None, None]) -> None:
    """Delete an owner rule.

    Only for operators. Files keep their owners.
    """
    owner_rules.delete_rule(call.tx, call.path.rule_id)


@stepwise_endpoint(needs=ADMIN, path=OwnerRulePath, response=JobOut, status=202, errors=(NotFound, Forbidden))
def apply_owner_rule(call: StepwiseCall[OwnerRulePath, None, None]) -> Reply:
    """Give files that belong to nobody to their owners.

    Only for operators. This creates a job for the files below the rule's prefix that were there before the rule. Files that
    have an owner keep it.
    """
    with call.ctx.transaction() as tx:
        job = begin_assigning(tx, call.path.rule_id)
    return job_reply(call, job.id)
