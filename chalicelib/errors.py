"""What can go wrong, said without HTTP. ``chalicelib/api/http/problems.py`` has the one table that maps these to statuses.

::

    LandfallError
    ├── ConfigurationError          the environment is not usable
    ├── SchemaMismatch              code and schema don't belong together
    ├── MalformedNotification       a message that is no object notification: poison
    ├── InvalidInput                the caller sent wrong fields; carries which and why
    │   ├── InvalidCursor           a page cursor that this service did not issue
    │   ├── MalformedBody           a body that cannot be read at all
    │   └── TooBroad                filters that make the database read for too long
    ├── Unprocessable               well-formed, but refers to something that is not there
    │   └── InvalidInventory        an S3 Inventory that can't be read, or is one of another bucket
    ├── Unauthenticated             nobody is known by the given identity
    ├── TooManyRequests             the caller asks more often than it may; carries when it may again
    │   └── TooManyJobs             the caller has as many open jobs as it may
    ├── Forbidden                   known, but not allowed
    │   ├── AccountDisabled         nobody may act as this user, or it was deleted
    │   ├── MissingScope            the caller's API key is not for this
    │   ├── AgainstPolicy           no file of this size or type is taken
    │   └── OverQuota               the owner or session would have too much
    ├── NotFound                    no such thing, or none that this caller may see
    ├── MethodNotAllowed            the path exists, not with this method
    ├── Conflict                    the state of things forbids it now
    │   ├── NotArrived              S3 doesn't hold the object that was announced
    │   └── Locked                  Object Lock keeps a version from being removed; the message says until when
    ├── PreconditionFailed          somebody else was faster: a lost update
    ├── TooLarge                    more bytes than this route takes
    ├── HeadersTooLarge             more bytes of headers than any request needs
    ├── UnsupportedMediaType        a body of a type this route doesn't read
    ├── Cancelled                   a job that its owner has stopped
    ├── TimeIsUp                    a job's turn has ended amid a long step
    └── Unavailable                 something that Landfall needs does not answer
        ├── NotReady                a check of `/ready` failed; carries which
        ├── KeysUnavailable         an identity provider's keys were never read, so its tokens can't be checked
        ├── DatabaseUnavailable
        │   └── Contention          two transactions got in each other's way; trying again may succeed
        └── StoreUnavailable
            ├── StoreUncertain      it may have done what was asked, but didn't say so
            ├── NothingInRange      a range of an object that has no bytes
            └── Refused             it understood the request and refused it; carries its error code
                └── NotSupported    this store doesn't know what was asked for
"""

from dataclasses import dataclass
from uuid import UUID


class LandfallError(Exception):
    """Base of everything Landfall raises on purpose. ``str(error)`` is a sentence fit for the caller."""


class ConfigurationError(LandfallError):
    """The environment is not usable."""


class SchemaMismatch(LandfallError):
    """The code doesn't fit the database's schema, or wasn't written for the revision that was asked for."""


class MalformedNotification(LandfallError):
    """A queue message that carries no object notification Landfall understands."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One wrong field. ``where``: ``body``, ``query``, ``path`` or ``header``; ``field``: dotted path within it."""

    where: str
    field: str
    message: str


class InvalidInput(LandfallError):
    """The caller sent wrong fields."""

    def __init__(self, message: str, problems: tuple[FieldProblem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class InvalidCursor(InvalidInput):
    """A page cursor that was not issued by this service for this list and sort."""

    def __init__(self) -> None:
        message = "The cursor is not one this list issued; start again without it."
        super().__init__(message, (FieldProblem("query", "cursor", message),))


class MalformedBody(InvalidInput):
    """A request body that cannot be read at all."""


class TooBroad(InvalidInput):
    """A query that would take longer than a caller may keep the database busy."""


class Unprocessable(LandfallError):
    """The request is well-formed but refers to something that is not there."""


class InvalidInventory(Unprocessable):
    """An S3 Inventory that can't be read, or is one of another bucket."""


class Unauthenticated(LandfallError):
    """Nobody is known by the given identity. For the log: ``reason``, if it says more than the message, and the API key's id."""

    def __init__(self, message: str, reason: str | None = None, key_id: UUID | None = None) -> None:
        super().__init__(message)
        self.reason, self.key_id = reason or message, key_id


class TooManyRequests(LandfallError):
    """The caller asks more often than it may. ``retry_seconds``: when it may ask again."""

    def __init__(self, retry_seconds: int) -> None:
        super().__init__(f"Too many requests. Try again in {retry_seconds} s.")
        self.retry_seconds = retry_seconds


class TooManyJobs(TooManyRequests):
    """The caller has as many jobs as it may that have not ended. ``retry_seconds``: when it may try again."""

    def __init__(self, most: int, retry_seconds: int) -> None:
        LandfallError.__init__(
            self,
            f"This caller has as many open jobs as it may have ({most}). Wait until one has ended, or cancel one.",
        )
        self.retry_seconds = retry_seconds


class Forbidden(LandfallError):
    """The caller is known, but may not do this."""


class AccountDisabled(Forbidden):
    """Nobody may act as this user, who is known. For the log: the user's id, and that of the API key that came."""

    def __init__(
        self,
        message: str = "This account is disabled. An operator can enable it again.",
        user_id: UUID | None = None,
        key_id: UUID | None = None,
    ) -> None:
        super().__init__(message)
        self.reason, self.user_id, self.key_id = message, user_id, key_id


class MissingScope(Forbidden):
    """The caller's API key lacks the scope that this needs, or one of those of which it needs one. For the log: the key's id."""

    def __init__(self, needed: tuple[str, ...], key_id: UUID) -> None:
        named = " or ".join(f"`{scope}`" for scope in needed)
        super().__init__(f"This API key lacks the scope {named}.")
        self.reason, self.key_id = str(self), key_id


class AgainstPolicy(Forbidden):
    """A policy doesn't allow the file: it is too large, or of the wrong type."""


class OverQuota(Forbidden):
    """More files or bytes than the owner or the session may have."""


class NotFound(LandfallError):
    """No such thing, or none that this caller may see: the two are not told apart."""


class MethodNotAllowed(LandfallError):
    """The path exists, but not with this method."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"{method} is not allowed here; allowed: {', '.join(allowed)}.")
        self.allowed = allowed


class Conflict(LandfallError):
    """The state of things forbids it now."""


class NotArrived(Conflict):
    """The object store does not hold the object that was announced, or not as it was announced."""


class Locked(Conflict):
    """S3 keeps a version: nobody can remove it yet."""


class PreconditionFailed(LandfallError):
    """Something has changed since the caller last looked at it."""


class TooLarge(LandfallError):
    """More bytes than this route takes."""


class HeadersTooLarge(LandfallError):
    """More bytes of headers than any request needs."""


class UnsupportedMediaType(LandfallError):
    """A body of a type this route does not read."""


class Unavailable(LandfallError):
    """Something Landfall needs does not answer; trying again later may work."""


class Cancelled(LandfallError):
    """A job that its owner has stopped."""


class TimeIsUp(LandfallError):
    """A job has had its turn amid a long step, which goes on from there in the next one."""


class NotReady(Unavailable):
    """Something that requests need is missing; ``problems`` says what."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        super().__init__(" ".join(problem.message for problem in problems))
        self.problems = problems


class KeysUnavailable(Unavailable):
    """No keys of an identity provider have been read yet, and none can be read now."""


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""


class Contention(DatabaseUnavailable):
    """Two transactions stood in each other's way and the server ended this one. The same work may succeed the next time."""


class StoreUnavailable(Unavailable):
    """The object store does not answer."""


class StoreUncertain(StoreUnavailable):
    """The object store may or may not have done what was asked: its answer didn't come, or was an error on its side."""


class NothingInRange(StoreUnavailable):
    """A range of an empty object: no byte of it can be read."""


class Refused(StoreUnavailable):
    """The object store understood the request and refused it. ``code`` is its error code (``EntityTooSmall``, …)."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class NotSupported(Refused):
    """This object store doesn't know the operation; AWS's own does."""
