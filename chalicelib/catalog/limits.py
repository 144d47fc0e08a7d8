"""What may be uploaded: limits on the size and type of each file, and quotas for all files together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.catalog.media_types import is_allowed
from chalicelib.catalog.parts import MAX_OBJECT_BYTES
from chalicelib.errors import AgainstPolicy, OverQuota


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one policy. None means no limit.

    Attributes:
        max_file_bytes: for each file.
        media_types: the allowed ones, such as ``image/png`` or ``image/*``.
        max_bytes, max_files: quotas for all files together. A pending file counts with its reservation.
        refuse_mismatch: delete a file whose bytes are not of the type that it was declared to be.
    """

    max_file_bytes: int | None = None
    media_types: tuple[str, ...] | None = None
    max_bytes: int | None = None
    max_files: int | None = None
    refuse_mismatch: bool = False

    @property
    def are_quotas(self) -> bool:
        """Whether they limit all files together."""
        return self.max_bytes is not None or self.max_files is not None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Limits":
        """The policy that a user or session carries as JSON."""
        known = {name: document[name] for name in cls.__slots__ if document.get(name) is not None}
        if "media_types" in known:
            known["media_types"] = tuple(known["media_types"])
        return cls(**known)


def check_file(policies: Iterable[tuple[str, Limits]], size: int | None, media_type: str | None) -> None:
    """Refuse a file that one of the policies doesn't allow. Each policy comes with the name of its holder.

    Raises:
        AgainstPolicy: the file is too large, or of a type that is not allowed. The message names the policy's holder.
    """
    for holder, limits in (("S3", Limits(MAX_OBJECT_BYTES)), *policies):
        if size is not None and limits.max_file_bytes is not None and size > limits.max_file_bytes:
            raise AgainstPolicy(
                f"{holder} takes at most {limits.max_file_bytes} bytes in one file; this one has {size}."
            )
        allowed = limits.media_types
        if allowed is not None and not is_allowed(media_type or "application/octet-stream", allowed):
            named = f"of {media_type}" if media_type else "of an unknown type"
            raise AgainstPolicy(f"{holder} takes files of {', '.join(allowed) or 'no type'} only, not {named}.")


def check_quota(holder: str, limits: Limits, files: int, used: int, *, tells_use: bool) -> None:
    """Refuse new files that would exceed a quota. ``files`` and ``used`` bytes include the new ones.

    Raises:
        OverQuota: there would be too many files or bytes; with ``tells_use``, the message says how many.
    """
    for most, would_be, things in (limits.max_files, files, "files"), (limits.max_bytes, used, "bytes"):
        if most is not None and would_be > most:
            figures = f"{holder} may have {most} {things}; this would make {would_be}."
            raise OverQuota(figures if tells_use else f"{holder} has no room for so many {things}.")


def rounded_down(size: int) -> int:
    """The greatest power of two that is no more than a number of bytes; 0 if there is none.

    >>> rounded_down(876_544)
    524288
    """
    return 1 << (size.bit_length() - 1) if size > 0 else 0
