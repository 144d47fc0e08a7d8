"""Routes that tell whether the process runs, and whether what it needs is there."""

from chalicelib import runtime
from chalicelib.api.http.endpoint import StepwiseCall, stepwise_endpoint
from chalicelib.api.schemas.health import HealthOut, ReadyOut
from chalicelib.errors import DatabaseUnavailable, FieldProblem, NotFound, NotReady, StoreUnavailable
from chalicelib.services.upkeep.probing import CONSEQUENCES, probed_store


@stepwise_endpoint(response=HealthOut, anonymous=True, counted=None)
def health(call: StepwiseCall[None, None, None]) -> dict[str, str]:
    """Tell that the process runs.

    It checks nothing else: see `/ready`.
    """
    return {"status": "ok"}


@stepwise_endpoint(response=ReadyOut, anonymous=True, counted="checks", errors=(NotReady,))
def ready(call: StepwiseCall[None, None, None]) -> dict[str, object]:
    """Tell whether database and bucket are usable.

    503 lists what is wrong: a database that doesn't answer or has an older schema than this code was written for, a
    bucket that isn't there or may not be read.

    `store` says what an object store other than AWS's ignores, and what Landfall cannot promise there.
    """
    found = (("database", _database_problem()), ("bucket", _bucket_problem(call.ctx.settings.bucket)))
    problems = tuple(FieldProblem("check", name, message) for name, message in found if message)
    if problems:
        raise NotReady(problems)
    try:
        probed = probed_store(runtime.context())
    except StoreUnavailable as error:
        raise NotReady((FieldProblem("check", "store", str(error)),)) from error
    store = {
        "ignores": probed.guarantees.missing,
        "admits": [CONSEQUENCES[name] for name in probed.guarantees.missing],
        "problem": probed.problem,
        "probed_at": probed.at,
    }
    return {"status": "ready", "checks": {"database": "ok", "bucket": "ok"}, "store": store}


def _database_problem() -> str | None:
    from chalicelib.db.migrate import schema_status  # saves 60 ms: alembic

    try:
        with runtime.transaction() as session:
            status = schema_status(session.connection())
    except DatabaseUnavailable as error:
        return str(error)
    # A newer schema is fine: migrations only expand, and during a deployment the old code works on it for a while.
    if status.state == "behind":
        return f"The database has schema {status.database or 'none'}, this code needs {status.code}: migrate."
    return None


def _bucket_problem(bucket: str) -> str | None:
    try:
        runtime.store().check_bucket(bucket)
    except NotFound:
        return f"There is no bucket {bucket}."
    except StoreUnavailable as error:
        return str(error)
    return None
