"""Routes of audits."""

from chalicelib.api.http.endpoint import ADMIN, Call, Reply, StepwiseCall, endpoint, stepwise_endpoint
from chalicelib.api.http.pages import page_reply
from chalicelib.api.schemas.audits import AuditCreate, AuditDetail, AuditOut, AuditPath, TruthOut
from chalicelib.api.schemas.common import Page, PageQuery
from chalicelib.catalog.audits import Audit, Truth
from chalicelib.errors import Conflict, Forbidden, InvalidCursor, InvalidInventory, NotFound
from chalicelib.services.truth import requesting


@endpoint(needs=ADMIN, query=PageQuery, response=Page[AuditOut], errors=(InvalidCursor, Forbidden))
def list_audits(call: Call[None, PageQuery, None]) -> Reply:
    """List audits.

    Only for operators. The newest come first.
    """
    return page_reply(call, requesting.list_audits(call.tx, call.query.limit, call.query.cursor))


@stepwise_endpoint(
    needs=ADMIN, body=AuditCreate, response=AuditDetail, status=202, errors=(Forbidden, NotFound, InvalidInventory)
)
def create_audit(call: StepwiseCall[None, None, AuditCreate]) -> Reply:
    """Compare a bucket with the catalogue.

    Only for operators. This takes as long as the bucket's listing; a small bucket is done at once. With `repairs`, what differs
    is recorded, as if its notifications came now. The `Location` header says where the audit is.

    With `inventory`, the bucket is listed only where the catalogue differs from its S3 Inventory. 422 if that can't be read, or
    is one of another bucket. `python -m dev audit` also reads those of Parquet.
    """
    audit = requesting.request_audit(call.ctx, call.body)
    return Reply(audit, 202, {"Location": f"{call.base_url}/api/audits/{audit.id}"})


@endpoint(needs=ADMIN, path=AuditPath, response=AuditDetail, errors=(NotFound, Forbidden))
def get_audit(call: Call[AuditPath, None, None]) -> Audit:
    """Read how far an audit is, and what it has found.

    Only for operators.
    """
    return requesting.read_audit(call.tx, call.path.audit_id)


@endpoint(needs=ADMIN, path=AuditPath, response=AuditDetail, errors=(NotFound, Forbidden, Conflict))
def cancel_audit(call: Call[AuditPath, None, None]) -> Audit:
    """End an audit.

    Only for operators. What it has recorded stays recorded. 409 if it has ended already.
    """
    return requesting.end_audit(call.tx, call.path.audit_id)


@endpoint(needs=ADMIN, response=TruthOut, errors=(Forbidden,))
def get_truth(call: Call[None, None, None]) -> Truth:
    """Read since when the catalogue is known to be what the buckets hold.

    Only for operators.
    """
    return requesting.read_truth(call.tx)
