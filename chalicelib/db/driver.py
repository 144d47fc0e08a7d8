"""A connection of pg8000 1.31 that asks the server in one message, and workarounds: https://codeberg.org/tlocke/pg8000.

pg8000 sends a statement in three messages and waits for the answer to each; BEGIN is a fourth, and COMMIT three more.
`Connection` sends all that belongs to a statement at once.
"""

import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from pg8000 import converters, core, dbapi, legacy

from chalicelib.db import statement_settings as settings
from chalicelib.db import wire

# How many statements a connection keeps prepared. The server holds up to 100 kB for each.
_KEPT = 64

_BEGIN = wire.parse(wire.NOTHING, "begin") + wire.bind(wire.NOTHING, []) + wire.EXECUTE


class Acting(NamedTuple):
    """For whom statements act: the schema in which they find their tables first, and the settings that its views read."""

    schema: str = ""
    user_id: str = ""
    prefix: str = ""
    session_id: str = ""


@dataclass(slots=True)
class Actor:
    """For whom the statements of a transaction act from now on. It may change amid a transaction."""

    acting: Acting


ITSELF = Acting()
# Statements that only mark a place in a transaction.
_MARKS = ("SAVEPOINT", "RELEASE", "ROLLBACK")


class _Prepared(NamedTuple):
    """A statement that the server has parsed: its name there, and the columns of its answer."""

    name: bytes
    columns: Any
    decoders: Any


class Connection(legacy.Connection):  # type: ignore[misc]  # pg8000 has no types
    """Sends each statement in one message, together with the BEGIN of a transaction that it is the first of.

    Attributes:
        prepares_next: the next statement is to be kept prepared. The server parses it once, and plans it once for whatever
            values it will have.
        only_reads_next: it changes and locks nothing, besides. At the start of a transaction it runs before the BEGIN,
            which then waits for the statement that follows. Nobody can tell: in READ COMMITTED, each statement sees what
            is committed when it begins. A transaction of nothing else needs neither BEGIN nor COMMIT.
        waits_next: it has no rows, and is sent with the statement that follows in its transaction. If it fails, that one
            does. Without one that follows, it isn't sent at all.
        meanwhile: what to do once the next statement is sent, while the server works on it. It must not raise.
        actor: for whom statements act; None: for Landfall itself. Role, search path and settings travel with the first statement
            for which they differ, and end with its transaction.
    """

    actor: Actor | None

    def __init__(self, **options: Any) -> None:
        self.prepares_next = self.only_reads_next = self.waits_next = False
        self.meanwhile: Callable[[], None] | None = None
        self.actor = None
        self._begins = False
        # For whom the server's transaction acts; None: a savepoint was rolled back, and what was set since then with it.
        self._acting: Acting | None = ITSELF
        self._has_acted = False  # for others, in this transaction
        # A plan holds for one search path, so that the same statement is another one in another schema.
        self._prepared: OrderedDict[tuple[str, str], _Prepared] = OrderedDict()
        self._dropped = b""  # messages that close statements, to be sent with the next one
        self._waiting = b""  # messages of statements that wait for the next one
        self._unsure: list[tuple[str, str]] = []  # the statements among them that the server may not have parsed yet
        self._number = 0
        super().__init__(**options)
        _send_at_once(self._usock)
        kept = b"".join(wire.parse(name, statement) for name, statement in settings.STATEMENTS.items())
        self._ask(kept, core.Context(None))

    def execute_simple(self, statement: str) -> Any:
        """Run a statement without values. A BEGIN waits for the statement that follows it."""
        if statement == "begin transaction":  # as `pg8000.legacy.Cursor.execute` writes it
            self._begins = not self._waiting
            return None
        if self._waiting:
            self._ask(b"", core.Context(statement))
        if statement.startswith(_MARKS):
            if statement.startswith("ROLLBACK TO") and self._has_acted:
                self._acting = None
        elif self._wanted != ITSELF or self._acting != ITSELF:
            return self.execute_unnamed(statement)
        self.prepares_next = False
        return super().execute_simple(f"begin;{statement}" if self._take_begin() else statement)

    def execute_unnamed(self, statement: str, vals: Any = (), oids: Any = (), stream: Any = None) -> Any:
        """Run a statement with values, or a COPY."""
        prepares, self.prepares_next = self.prepares_next, False
        waits, self.waits_next = self.waits_next, False
        # Before anything is sent: a value that can't be converted must not leave the connection amid a message.
        values = converters.make_params(self.py_types, vals)
        if prepares and self.only_reads_next and not self._in_transaction and not self._waiting:
            return self._run_prepared(self._set_once(), statement, values, b"")
        before = self._begin_and_act()
        if prepares:
            one, usual = (
                (settings.ONE_WALK, settings.WALK_AS_USUAL)
                if self.only_reads_next
                else (settings.ONE_PLAN, settings.PLAN_AS_USUAL)
            )
            before += wire.bind(one, []) + wire.EXECUTE
            return self._run_prepared(before, statement, values, wire.bind(usual, []) + wire.EXECUTE, waits=waits)
        context = core.Context(statement, stream=stream)
        self._ask(
            before
            + wire.parse(wire.NOTHING, statement)
            + wire.bind(wire.NOTHING, values)
            + wire.DESCRIBE
            + wire.EXECUTE,
            context,
        )
        return context

    @property
    def _wanted(self) -> Acting:
        return ITSELF if self.actor is None else self.actor.acting

    def _set_once(self) -> bytes:
        """What comes before a prepared statement that doesn't wait for its BEGIN."""
        if self._wanted == ITSELF:
            return wire.bind(settings.ONE_WALK_ONCE, []) + wire.EXECUTE
        return wire.bind(settings.ONE_WALK_FOR_ONCE, list(self._wanted)) + wire.EXECUTE

    def _begin_and_act(self) -> bytes:
        """What comes before a statement: BEGIN, if it is the first one, and for whom it acts, if that is another than before."""
        begins = self._take_begin()
        if self._wanted == self._acting:
            return _BEGIN if begins else b""
        self._acting, self._has_acted = self._wanted, True
        return (_BEGIN if begins else b"") + wire.bind(settings.ACT_FOR, list(self._wanted)) + wire.EXECUTE

    def _run_prepared(
        self, before: bytes, statement: str, values: list[str | None], after: bytes, *, waits: bool = False
    ) -> Any:
        key = self._wanted.schema, statement
        known = self._prepared.pop(key, None)
        if known is None:
            self._number += 1
            name, columns, decoders = b"landfall_%d\0" % self._number, None, None
            parse, describe = wire.parse(name, statement), b"" if waits else wire.DESCRIBE
        else:
            (name, columns, decoders), parse, describe = known, b"", b""
        context = core.Context(statement, columns=columns, input_funcs=decoders)
        messages = before + parse + wire.bind(name, values) + describe + wire.EXECUTE + after
        if waits:
            self._waiting += messages
            self._unsure.append(key)
            self._prepared[key] = _Prepared(name, None, None)
            return context
        try:
            self._ask(messages, context)
        except Exception:
            # Whatever it was: the tables may be others by now, or the server may never have parsed it. So the next try is
            # parsed anew. A Close of a statement that isn't there is no error.
            self._drop(name)
            raise
        self._prepared[key] = _Prepared(name, context.columns, context.input_funcs)
        if len(self._prepared) > _KEPT:
            self._drop(self._prepared.popitem(last=False)[1].name)
        return context

    def handle_messages(self, context: Any) -> None:
        """Take in the answer. Of a server that said why and then hung up, pg8000 would tell only that it hung up."""
        try:
            super().handle_messages(context)
        except (core.InterfaceError, OSError) as lost:
            if not ends_connection(context.error):
                raise
            raise context.error from lost

    def handle_ERROR_RESPONSE(self, data: bytes, context: Any) -> None:
        """Take in an error without its detail, which quotes rows and keys: errors go to the log, and rows don't."""
        super().handle_ERROR_RESPONSE(data, context)
        context.error.args[0].pop("D", None)

    def _drop(self, name: bytes) -> None:
        self._dropped += wire.message(core.CLOSE, core.STATEMENT + name)

    def commit(self) -> None:
        """End the transaction. If none has begun, there is nothing to do."""
        self._end()
        if self._in_transaction:
            super().execute_simple("commit")

    def rollback(self) -> None:
        """Undo the transaction. If none has begun, there is nothing to do."""
        self._end()
        if self._in_transaction:
            super().execute_simple("rollback")

    def _end(self) -> None:
        self._begins, self._acting, self._has_acted = False, ITSELF, False
        self._forget_waiting()

    def _ask(self, messages: bytes, context: Any) -> None:
        dropped, self._dropped = self._dropped, b""
        core._write(self._sock, dropped + self._waiting + messages + wire.SYNC)
        core._flush(self._sock)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        try:
            self.handle_messages(context)
        except Exception:
            # Whatever it was, the server's refusal or a broken link: what was sent along may not have been parsed.
            self._forget_waiting()
            raise
        self._waiting = b""
        self._unsure.clear()

    def _forget_waiting(self) -> None:
        """Drop what waits, and have it parsed anew next time: the server may not have come to it."""
        for key in self._unsure:
            if (known := self._prepared.pop(key, None)) is not None:
                self._drop(known.name)
        self._waiting = b""
        self._unsure.clear()

    def _take_begin(self) -> bool:
        begins, self._begins = self._begins, False
        return begins


def told(error: BaseException | None) -> dict[str, str]:
    """What the server said of an error, by the letters of its protocol; empty if it wasn't the server's."""
    details = error.args[0] if error is not None and error.args else None
    return details if isinstance(details, dict) else {}


def ends_connection(error: BaseException | None) -> bool:
    """Whether an error is the last thing that the server says on its connection."""
    return told(error).get("V") in ("FATAL", "PANIC")


def _send_at_once(link: socket.socket) -> None:
    """Turn Nagle's algorithm off.

    pg8000 leaves it on, and has no option for it. A large statement leaves in several pieces; the last one would wait for the
    server's delayed acknowledgement, 40 ms on Linux.
    """
    if link.family != getattr(socket, "AF_UNIX", None):
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@lru_cache(maxsize=1024)
def _numbered(query: str) -> str:
    """``query`` with ``$1`` for ``%s``."""
    statement, _ = dbapi.convert_paramstyle("format", query, ())
    return str(statement)


def _convert_paramstyle(style: str, query: str, args: Any) -> tuple[str, Any]:
    return (_numbered(query), args) if style == "format" else dbapi.convert_paramstyle(style, query, args)


def remember_statements() -> None:
    """Convert the placeholders of each statement only once in a process.

    pg8000 reads every statement character by character at every execution (`dbapi.convert_paramstyle`): 1.6 ms for one
    of recording's, 0.35 ms for a list's. In SQLAlchemy's style the result depends on the statement alone.
    """
    legacy.convert_paramstyle = _convert_paramstyle


def quote_elements() -> None:
    """Quote every element of an array of texts.

    pg8000 quotes only the elements that seem to need it (`converters.array_string_escape`), and ``null`` isn't among
    them. Postgres reads it as NULL, in upper or lower case: a tag or key of that name was lost.
    """
    converters.array_string_escape = _quoted


def _quoted(element: str) -> str:
    escaped = element.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
