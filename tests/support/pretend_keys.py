"""A key of a pretend bucket: what S3 lists of it after random acts, and what each act was."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from chalicelib.catalog.objects import ListedVersion, Location, VersioningStatus
from tests.support.notifications import NOON

# Takes the event's name, its version id (None: the bucket has never kept versions), its moment and its fields.
Emit = Callable[..., None]


@dataclass
class PretendKey:
    """Each act calls ``emit``. ``versions`` are what is there, the oldest first."""

    location: Location
    random: Random
    emit: Emit
    versioning: VersioningStatus = "never"
    etags: int = 3  # so many different contents are put
    versions: list[ListedVersion] = field(default_factory=list)
    now: datetime = NOON
    numbers: Any = field(default_factory=lambda: count(1))

    def act(self) -> None:
        """Do one random thing."""
        self.tick()
        choices = ["put", "put", "delete"] + ["remove"] * bool(self.versions and self.versioning != "never")
        getattr(self, self.random.choice(choices))()

    def tick(self) -> None:
        """Let a while go by: at least the millisecond to which listings tell times."""
        self.now += timedelta(microseconds=self.random.choice([1000, 1500, 1_000_000]))

    def switch(self) -> None:
        """Begin to keep versions, or no longer."""
        self.versioning = "suspended" if self.versioning == "enabled" else "enabled"

    def put(self) -> None:
        self._add("ObjectCreated:Put", is_marker=False, etag=f"{self.random.randrange(self.etags):032x}")

    def delete(self) -> None:
        if self.versioning == "never":
            self._drop("")
            self._emit("ObjectRemoved:Delete", None)
        else:
            self._add("ObjectRemoved:DeleteMarkerCreated", is_marker=True)

    def remove(self) -> None:
        """Remove a version by its id."""
        version = self.random.choice(self.versions)
        self._drop(version.version_id)
        self._emit("ObjectRemoved:Delete", version.version_id or "null")

    @property
    def listing(self) -> set[tuple[Any, ...]]:
        """As `tests.support.listings.listed_by_catalogue` says it."""
        return {
            (v.key, v.version_id, v.size, None if v.is_marker else v.etag, v is self.versions[-1], v.is_marker)
            for v in self.versions
        }

    def _add(self, event: str, *, is_marker: bool, etag: str = "") -> None:
        version_id = f"v{next(self.numbers)}" if self.versioning == "enabled" else ""
        if not version_id:
            self._drop("")
        at = self.now.replace(microsecond=self.now.microsecond // 1000 * 1000)
        size = None if is_marker else 7
        self.versions.append(ListedVersion(self.location.key, version_id, is_marker, False, at, size, etag))
        told_id = version_id or (None if self.versioning == "never" else "null")
        self._emit(event, told_id, **({} if is_marker else {"size": 7, "etag": etag}))

    def _drop(self, version_id: str) -> None:
        self.versions = [version for version in self.versions if version.version_id != version_id]

    def _emit(self, event: str, version_id: str | None, **fields: Any) -> None:
        at = self.now + timedelta(microseconds=self.random.choice([0, 1, 400]))
        self.emit(self.location, event, version_id, at, **fields)
