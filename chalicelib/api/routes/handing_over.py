"""Routes that hand files over to another user."""

from chalicelib.api.http.endpoint import ADMIN, Call, Reply, StepwiseCall, endpoint, stepwise_endpoint
from chalicelib.api.http.job_replies import job_reply
from chalicelib.api.schemas.files import FileOut, FilePath
from chalicelib.api.schemas.handing_over import HandOverTo
from chalicelib.api.schemas.jobs import JobOut
from chalicelib.api.schemas.sessions import OwnerQuery, SessionPath
from chalicelib.catalog.files import File
from chalicelib.errors import Conflict, Forbidden, NotFound, Unprocessable
from chalicelib.services.files.handing_over import hand_over_file
from chalicelib.services.jobs.hand_over import begin_hand_over


@endpoint(
    needs=ADMIN,
    path=FilePath,
    body=HandOverTo,
    response=FileOut,
    errors=(NotFound, Forbidden, Conflict, Unprocessable),
)
def hand_over(call: Call[FilePath, None, HandOverTo]) -> File:
    """Hand a file over to another user.

    Only for operators. The file leaves its session, and counts for its new owner. Its key, its history and its share links stay:
    whoever may write at the key goes on to.
    """
    return hand_over_file(call.tx, call.path.file_id, call.body.user_id)


@stepwise_endpoint(
    needs=ADMIN,
    path=SessionPath,
    query=OwnerQuery,
    body=HandOverTo,
    response=JobOut,
    status=202,
    errors=(NotFound, Forbidden, Unprocessable),
)
def hand_over_session(call: StepwiseCall[SessionPath, OwnerQuery, HandOverTo]) -> Reply:
    """Hand the files of a session over to another user.

    Only for operators, who name the session's owner, too. This creates a job. Deleted files stay, and so does the session.
    """
    with call.ctx.transaction() as tx:
        job = begin_hand_over(tx, call.path.session_id, call.body.user_id)
    return job_reply(call, job.id)
