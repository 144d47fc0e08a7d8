"""Routes of users."""

from chalicelib.api.http.endpoint import ADMIN, Call, Reply, StepwiseCall, endpoint, stepwise_endpoint
from chalicelib.api.http.job_replies import job_reply
from chalicelib.api.http.pages import page_reply
from chalicelib.api.schemas.common import Page, PageQuery, UsageOut
from chalicelib.api.schemas.jobs import JobOut
from chalicelib.api.schemas.users import UserCreate, UserDeleteQuery, UserOut, UserPatch, UserPath, UserReplace
from chalicelib.db.models import User
from chalicelib.db.usage import UsageNow
from chalicelib.errors import Conflict, Forbidden, InvalidCursor, NotFound, TooBroad, Unprocessable
from chalicelib.services.accounts import users
from chalicelib.services.accounts.users import NewUser, UserChanges
from chalicelib.services.jobs.delete_user import begin_deletion


@endpoint(needs=ADMIN, query=PageQuery, response=Page[UserOut], errors=(InvalidCursor,))
def list_users(call: Call[None, PageQuery, None]) -> Reply:
    """List users.

    In the order of their creation. Members see only themselves.
    """
    return page_reply(call, users.list_users(call.tx, call.query.limit, call.query.cursor))


@endpoint(needs=ADMIN, body=UserCreate, response=UserOut, status=201, errors=(Forbidden, Conflict))
def create_user(call: Call[None, None, UserCreate]) -> Reply:
    """Create a user.

    Only for operators. The `Location` header says where the user is.
    """
    body = call.body
    user = users.create_user(call.tx, NewUser(body.name, body.email, body.role, body.limits.document()))
    return Reply(user, 201, {"Location": f"{call.base_url}/api/users/{user.id}"})


@endpoint(response=UserOut, errors=(NotFound,))
def get_me(call: Call[None, None, None]) -> User:
    """Read the user who asks."""
    return users.get_user(call.tx, call.tx.principal.user_id)


@endpoint(needs=ADMIN, path=UserPath, response=UserOut, errors=(NotFound,))
def get_user(call: Call[UserPath, None, None]) -> User:
    """Read a user."""
    return users.get_user(call.tx, call.path.user_id)


@endpoint(needs=ADMIN, path=UserPath, body=UserReplace, response=UserOut, errors=(NotFound, Forbidden, Conflict))
def replace_user(call: Call[UserPath, None, UserReplace]) -> User:
    """Replace a user's fields.

    Fields that are left out get their defaults, except role and limits, which stay. Only operators may change role,
    limits and email address. If the caller is a member, an address that is left out stays, too. Whether the user is disabled
    stays.
    """
    changes: UserChanges = {"name": call.body.name}
    if "email" in call.body.model_fields_set or call.tx.principal.is_operator:
        changes["email"] = call.body.email
    if call.body.role is not None:
        changes["role"] = call.body.role
    if call.body.limits is not None:
        changes["limits"] = call.body.limits.document()
    return users.change_user(call.tx, call.path.user_id, changes)


@endpoint(needs=ADMIN, path=UserPath, body=UserPatch, response=UserOut, errors=(NotFound, Forbidden, Conflict))
def patch_user(call: Call[UserPath, None, UserPatch]) -> User:
    """Change some fields of a user.

    Fields that are left out stay. `"email": null` removes the address. Only operators may change addresses, roles and
    limits, and disable users, but not themselves. From the next request on, tokens and keys of a disabled user are
    answered with 403 (`account-disabled`). Its share links lead nowhere, its sessions are shared with nobody, and its jobs
    stop. Its files stay.
    """
    changes = UserChanges(**call.body.model_dump(exclude_unset=True))  # type: ignore[typeddict-item]
    if "limits" in changes:
        changes["limits"] = call.body.limits.document()
    return users.change_user(call.tx, call.path.user_id, changes)


@endpoint(needs=ADMIN, path=UserPath, response=UsageOut, errors=(NotFound, TooBroad))
def get_user_usage(call: Call[UserPath, None, None]) -> UsageNow:
    """Read how many files and bytes a user has."""
    return users.usage_of(call.tx, call.path.user_id)


@stepwise_endpoint(
    needs=ADMIN,
    path=UserPath,
    query=UserDeleteQuery,
    response=JobOut,
    status=204,
    also=(202,),
    errors=(NotFound, Forbidden, Conflict, Unprocessable),
)
def delete_user(call: StepwiseCall[UserPath, UserDeleteQuery, None]) -> Reply:
    """Delete a user.

    Only for operators, who can't delete themselves. 409 if the user still owns files or sessions, or has something in the trash;
    `detail` says how much. With `files`, 202 with the job that removes the files permanently (`erase`) or gives them to the user
    `to` (`hand-over`), then deletes the user with its sessions. From this request on the user is disabled; to keep it, enable it
    again. Whoever signs in with its identity later is refused: see `GET /api/barred-identities`.
    """
    user_id, query = call.path.user_id, call.query
    with call.ctx.transaction() as tx:
        if query.files is None:
            users.delete_user(tx, user_id)
            return Reply(None, 204)
        job = begin_deletion(tx, user_id, query.to)
    return job_reply(call, job.id)
