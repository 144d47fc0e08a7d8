"""Policies: which files an owner may have, and how many."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chalicelib.catalog.files import File
from chalicelib.catalog.limits import Limits, check_file, check_quota, rounded_down
from chalicelib.catalog.objects import ObjectVersion
from chalicelib.db import files, sessions, users
from chalicelib.db.scope import Owner
from chalicelib.db.usage import counted_usage
from chalicelib.errors import AgainstPolicy, Conflict
from chalicelib.services.context import Transaction
from chalicelib.settings import Settings


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits, and whom they hold for: all of a user's files (``session_id`` ``""``), or those of one session."""

    holder: str
    session_id: str
    limits: Limits

    def check_quota(self, files: int, used: int) -> None:
        """Refuse new files, if with them there are too many files or bytes.

        How full a user's account is, is told to nobody here: who reads a refusal, now or when it was noted at the file, may be a
        member of one of the user's sessions. Who sees a session sees what is in it.

        Raises:
            OverQuota: there would be too many.
        """
        check_quota(self.holder, self.limits, files, used, tells_use=bool(self.session_id))


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies for one owner's files: the owner's, and that of a session on top of it."""

    owner: Owner
    policies: Sequence[Policy]

    @property
    def of_session(self) -> "Policies":
        """The session's policy alone."""
        return Policies(self.owner, [policy for policy in self.policies if policy.session_id])

    @property
    def limit_bytes(self) -> bool:
        """Whether any of them limits bytes, of one file or of all."""
        limits = [policy.limits for policy in self.policies]
        return any(one.max_bytes is not None or one.max_file_bytes is not None for one in limits)

    @property
    def refuse_mismatch(self) -> bool:
        """Whether any of them refuses files that are not what they were declared to be."""
        return any(policy.limits.refuse_mismatch for policy in self.policies)

    def check_file(self, size: int | None, media_type: str | None) -> None:
        """Refuse a file that any of them doesn't allow.

        Raises:
            AgainstPolicy: the file is too large, or of a type that is not allowed. The message names the policy's
                holder.
        """
        check_file([(policy.holder, policy.limits) for policy in self.policies], size, media_type)

    def check_quotas(self, tx: Transaction) -> None:
        """Refuse what this transaction has added, if it exceeds a quota.

        Raises:
            OverQuota: the owner or the session would have too much.
        """
        limited = [policy for policy in self.policies if policy.limits.are_quotas]
        used = self._used(tx, limited)
        for policy in limited:
            policy.check_quota(*used.get(policy.session_id, (0, 0)))

    def bytes_left(self, tx: Transaction, limit: int) -> int:
        """How many bytes the next file may have, after what is used already: at most ``limit``, at least 0.

        It is the caller who reads this. If it sees only a part of the owner's files, what the owner has left is rounded down.
        """
        lefts = [limit]
        sees_all = not isinstance(tx.scope, Owner) or tx.scope == Owner(self.owner.user_id)
        used = self._used(tx, [policy for policy in self.policies if policy.limits.max_bytes is not None])
        for policy in self.policies:
            if policy.limits.max_file_bytes is not None:
                lefts.append(policy.limits.max_file_bytes)
            if policy.limits.max_bytes is not None:
                left = policy.limits.max_bytes - used.get(policy.session_id, (0, 0))[1]
                lefts.append(left if sees_all or policy.session_id else rounded_down(left))
        return max(0, min(lefts))

    def _used(self, tx: Transaction, policies: Sequence[Policy]) -> dict[str, tuple[int, int]]:
        """Files and bytes that count towards these policies. If there are none, the database isn't asked."""
        if not policies:
            return {}
        with tx.as_landfall():  # a quota counts what a caller of a part may not see
            return counted_usage(tx.session, self.owner, [policy.session_id for policy in policies])


def policies_for(tx: Transaction, owner: Owner, session_id: str | None) -> Policies:
    """The policies for an owner's files, in a session or in none.

    Each limit that an operator has set for a user replaces the deployment's default.
    """
    own = users.find_limits(tx.session, owner)
    found = [Policy("This user", "", Limits.of(_defaults(tx.settings) | own))]
    if session_id is not None:
        document = sessions.find_limits(tx.session, owner, session_id)
        found.append(Policy(f"The session {session_id}", session_id, Limits.of(document)))
    return Policies(owner, found)


def check_version(tx: Transaction, file: File, version: ObjectVersion) -> None:
    """Keep a member from a version that isn't the file's current one, if the present policies refuse it.

    It doesn't matter whether the version was judged when it came. If the policies refuse files that are not what they
    were declared to be, they also refuse a version whose inspection is due or has failed.

    Raises:
        AgainstPolicy: the policies refuse the version; the message says why.
    """
    if tx.principal.is_operator or file.owner_id is None:
        return
    policies = policies_for(tx, Owner(file.owner_id), file.session_id)
    policies.check_file(version.size, version.media_type)
    if not policies.refuse_mismatch:
        return
    if version.is_uninspected:
        raise AgainstPolicy(
            "This version was not inspected yet: nobody knows whether it is what it was declared to be."
        )
    if version.is_mismatch:
        raise AgainstPolicy(f"This version was declared to be {version.media_type}, and its bytes are something else.")


def reserve_restore(tx: Transaction, file: File, more: int) -> None:
    """Reserve ``more`` bytes for a file that is about to be restored, until `end_restores`. A deleted file also counts as a file.

    The quota is checked after the change, which has locked the owner's usage.

    Raises:
        OverQuota: the owner or the session would have too much. Conflict: it is being restored already.
    """
    if not files.reserve_restore(tx.session, file.id, more):
        raise Conflict("The file is being restored already.")
    if file.owner_id is not None:
        policies_for(tx, Owner(file.owner_id), file.session_id).check_quotas(tx)


def end_restores(tx: Transaction, file_ids: Collection[UUID]) -> None:
    """Free what is still reserved for restoring these files."""
    files.end_restores(tx.session, file_ids)


def _defaults(settings: Settings) -> dict[str, Any]:
    return {
        "max_file_bytes": settings.max_file_bytes,
        "media_types": settings.media_types or None,
        "max_bytes": settings.quota_bytes,
        "max_files": settings.quota_files,
        "refuse_mismatch": settings.refuse_mismatch,
    }
