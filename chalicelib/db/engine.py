"""The engine, and the one way to a transaction."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ssl import SSLContext
from time import monotonic
from typing import Any

from pg8000.exceptions import InterfaceError as ConnectionLost
from sqlalchemy import URL, TextClause, create_engine, event
from sqlalchemy import Connection as SqlConnection
from sqlalchemy import Engine as Engine
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.orm import Session as Session  # services know no SQL, so they import the type from this module

from chalicelib.db.driver import ITSELF, Acting, Actor, Connection, quote_elements, remember_statements
from chalicelib.db.outages import mark_disconnect, why_unavailable
from chalicelib.db.scope import EVERYONE, MEMBER_SCHEMA, PART_SCHEMA, Owner, Scope
from chalicelib.errors import DatabaseUnavailable

_ACTOR = "actor"  # where a session keeps it
# Our transactions wait for nothing but the database. If one is idle for so long, its process has died without closing
# the connection, as a Lambda function does at its timeout. Its locks must not block everybody else.
_IDLE_IN_TRANSACTION_MS = 10_000
# How much longer than one statement a whole transaction may last, if statements have a limit. Together that is less
# than the gateway waits for a request. PostgreSQL has such a limit since version 17.
_TRANSACTION_GRACE_MS = 2_000
_SET_TRANSACTION_TIMEOUT = """
SELECT set_config('transaction_timeout', '{}', false) WHERE current_setting('server_version_num')::int >= 170000"""
# What a transaction acts with for a member. A server where the role was never made, or an older one than 16, goes without it.
_SET_ROLE = """
SELECT set_config('landfall.search_path', current_setting('search_path'), false), set_config('landfall.role', coalesce((
    SELECT rolname FROM pg_roles WHERE rolname = 'landfall_members'
        AND CASE WHEN current_setting('server_version_num')::int >= 160000 THEN pg_has_role(oid, 'SET') END), 'none'), false)"""
# How long to wait for a lock: less than any of our functions may run, so that the function can still report it.
LOCK_TIMEOUT_MS = 5_000
_CONNECT_SECONDS = 25  # Aurora at 0 ACU takes about 15 s to resume
# The connect timeout is also the socket's. The server's own statement timeout must come first, since its answer is
# clear.
_GRACE_SECONDS = 5
_IDLE_SECONDS = 1.0


def create_catalog_engine(
    url: str | URL,
    pool_size: int = 1,
    statement_timeout_ms: int = 0,
    *,
    tls: SSLContext | None = None,
    password: Callable[[], str] | None = None,
) -> Engine:
    """An engine for ``url`` whose pool notices connections that the server has closed.

    Args:
        tls: what the server's certificate is checked with; None for an unencrypted connection.
        password: called for each new connection, in place of the URL's password: for passwords that expire.
    """
    remember_statements()
    quote_elements()
    timeout = max(_CONNECT_SECONDS, statement_timeout_ms // 1000 + _GRACE_SECONDS)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=2 * pool_size,
        pool_recycle=600,
        json_serializer=_to_json,
        # Errors go to the log, and what a statement was sent with is nobody's business there.
        hide_parameters=True,
        # Without a word on it, pg8000 tries TLS with any certificate first (25 ms for each connection), then none.
        connect_args={"timeout": timeout, "ssl_context": tls or False},
    )
    event.listen(engine, "do_connect", _connect(password))
    event.listen(engine, "handle_error", mark_disconnect)
    event.listen(engine, "connect", _prepare_connection(statement_timeout_ms))
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _check_if_idle)
    event.listen(engine, "before_cursor_execute", _prepare_if_marked)
    return engine


def _connect(password: Callable[[], str] | None) -> Any:
    def connect(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> Connection:
        return Connection(**parameters | ({"password": password()} if password else {}))

    return connect


def _to_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _prepare_connection(statement_timeout_ms: int) -> Any:
    settings = [
        # Times that Postgres itself writes into JSON are then in UTC, as everywhere in Landfall.
        "SET timezone = 'UTC'",
        f"SET statement_timeout = {int(statement_timeout_ms)}",
        f"SET idle_in_transaction_session_timeout = {_IDLE_IN_TRANSACTION_MS}",
        f"SET lock_timeout = {LOCK_TIMEOUT_MS}",
        # Many of our statements seem expensive to the planner, and none is. Compiling one would take longer than running it.
        "SET jit = off",
        _SET_ROLE,
    ]
    if statement_timeout_ms:
        settings.append(_SET_TRANSACTION_TIMEOUT.format(int(statement_timeout_ms) + _TRANSACTION_GRACE_MS))

    def prepare(connection: Any, _record: Any) -> None:
        connection.execute_simple("; ".join(settings))

    return prepare


def prepared_read(statement: TextClause) -> TextClause:
    """Mark a statement that runs often, changes and locks nothing, and has one good plan whatever its values are.

    Each connection keeps it prepared: see `chalicelib.db.driver.Connection`.
    """
    return statement.execution_options(prepared="read")


def prepared_write(statement: TextClause) -> TextClause:
    """The same for a statement that changes or locks something, or that must see what its transaction has changed."""
    return statement.execution_options(prepared="write")


def waiting_write(statement: TextClause) -> TextClause:
    """The same for one without rows that waits for the statement that follows, and is sent with it.

    If it fails, it is the other one that raises.
    """
    return statement.execution_options(prepared="waiting")


def meanwhile(do: Callable[[], None] | None) -> dict[str, Any]:
    """Execution options of a statement on which the server works for long: what to do until its answer comes. ``do`` must not
    raise, and can't use this session."""
    return {"meanwhile": do}


def _prepare_if_marked(
    connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool
) -> None:
    prepared, link = context.execution_options.get("prepared"), connection.connection.dbapi_connection
    link.prepares_next, link.only_reads_next = prepared is not None, prepared == "read"
    link.waits_next = prepared == "waiting"
    link.meanwhile = context.execution_options.get("meanwhile")


def _note_use(_connection: Any, record: Any) -> None:
    record.info["used_at"] = monotonic()


def _check_if_idle(connection: Any, record: Any, _proxy: Any) -> None:
    """Ask a connection that has been idle whether it is still there; the pool replaces it if not.

    SQLAlchemy's own pre-ping asks at every checkout. A busy process has no use for that round trip, which takes a tenth
    of a list's time. The price: if the server goes away between two requests of the same second, the second one gets a
    503.
    """
    connection.actor = None
    if monotonic() - record.info.get("used_at", monotonic()) < _IDLE_SECONDS:
        return
    try:
        connection.execute_simple("SELECT 1")
    except Exception as error:
        raise DisconnectionError from error


class _CatalogSession(Session):
    """A session of `transaction`, which can act for a scope."""


@event.listens_for(_CatalogSession, "after_begin")
def _name_actor(session: Session, _transaction: Any, connection: SqlConnection) -> None:
    connection.connection.dbapi_connection.actor = _actor(session)  # type: ignore[union-attr]


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A session whose work is committed at the end, or rolled back if the block raises. Closed in every case.

    Raises:
        DatabaseUnavailable: the server cannot be reached, went away, or has no room. If that happened at commit, the work
            may or may not be stored; everything Landfall writes can be written again.
    """
    session = _CatalogSession(engine, expire_on_commit=False, info={_ACTOR: Actor(ITSELF)})
    try:
        with session:  # which rolls back what isn't committed
            yield session
            session.commit()
    except DBAPIError as error:
        if reason := why_unavailable(error):
            raise DatabaseUnavailable(reason) from error
        raise
    except (
        OSError,
        ConnectionLost,
    ) as error:  # pg8000 lets some of the socket's own errors through, at commit above all
        raise DatabaseUnavailable("The database does not answer.") from error


def commit_so_far(session: Session) -> None:
    """Commit what a session has done until now, whatever becomes of the rest, which is a transaction of its own.

    It takes no second connection beside the one that the session has: a function of Lambda's has no other.
    """
    session.commit()


def act_for(session: Session, scope: Scope) -> None:
    """Have the statements of a session act for a scope from now on, whatever they name themselves.

    They see what belongs to the scope, and can write nothing else: see `chalicelib.db.member_views`. For everyone they act on
    the tables themselves, as they do before this is called.
    """
    if scope != EVERYONE or _ACTOR in session.info:
        _actor(session).acting = _acting(scope)


@contextmanager
def acting_for(session: Session, scope: Scope) -> Iterator[None]:
    """Have the statements of this block act for a scope, and then again for whom they acted before.

    A session that `transaction` hasn't made always acts for everyone.
    """
    if scope == EVERYONE and _ACTOR not in session.info:
        yield
        return
    actor = _actor(session)
    session.flush()
    before, actor.acting = actor.acting, _acting(scope)
    try:
        yield
        session.flush()
    finally:
        actor.acting = before


def _actor(session: Session) -> Actor:
    """For whom a session of `transaction` acts."""
    actor: Actor = session.info[_ACTOR]
    return actor


def _acting(scope: Scope) -> Acting:
    if not isinstance(scope, Owner):
        return ITSELF
    is_whole = scope.prefix is None and scope.session_id is None
    schema = MEMBER_SCHEMA if is_whole else PART_SCHEMA
    return Acting(schema, str(scope.user_id), scope.prefix or "", scope.session_id or "")


def savepoint(session: Session) -> AbstractContextManager[object]:
    """A part of a transaction that is rolled back alone if the block raises."""
    return session.begin_nested()
