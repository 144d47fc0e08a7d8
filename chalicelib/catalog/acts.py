"""Acts: what somebody, or Landfall itself, did to a file or to what is around files. The trail is made of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

# A new act needs no migration: the column takes any word, so that code of the next release may write its own.
Act = Literal[
    "abandon", "abort", "admit_identity", "assign_owners", "audit", "cancel_audit", "cancel_job", "change_member",
    "change_session", "change_user", "copy", "delete", "delete_folder", "delete_owner_rule", "delete_session",
    "delete_user", "disable_user", "discard_events", "empty_trash", "enable_user", "first_sight", "hand_over", "link",
    "make_credentials", "make_key", "make_owner_rule", "make_session", "make_user", "member", "metadata", "move", "purge",
    "redrive_events", "remove_member", "rename", "restore", "revoke_key", "revoke_share", "role", "session", "share",
    "tags", "upload", "use_share", "zip",
]  # fmt: skip
# What S3 told of a file: see `chalicelib.catalog.changes.ChangeName`. In the trail these are acts, too.
EventAct = Literal["put", "marker", "removal", "purge"]
Via = Literal["request", "job", "clock", "event"]


@dataclass(frozen=True, slots=True)
class Cause:
    """What made Landfall act. ``request_id``: finds the log lines; of a job, the job's id; None if there is nothing to find."""

    via: Via
    request_id: str | None = None


BY_CLOCK = Cause("clock")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and because of what. ``user_id`` is None for Landfall itself, and for somebody without an account."""

    user_id: UUID | None
    key_id: UUID | None
    cause: Cause


@dataclass(frozen=True, slots=True)
class ActFilters:
    """Which acts: those to which all of it applies. ``since`` and ``until`` are half open, to the millisecond."""

    actor_id: UUID | None = None
    act: str | None = None
    file_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
