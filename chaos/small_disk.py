"""A disk for Postgres that is small enough to be filled."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

_MEGABYTES = 400


class SmallDisk:
    """A file system in memory. Only root may make one; `why_not` says why there is none."""

    def __init__(self, folder: Path) -> None:
        """Nothing is mounted yet."""
        self.folder = folder
        self._filler = folder / "filler"
        self.why_not = ""

    def mount(self) -> bool:
        """Mount it; returns whether that worked."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={_MEGABYTES}m,mode=0755", "landfall-chaos", str(self.folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            self.why_not = str(error)
            return False
        self.why_not = done.stderr.strip() if done.returncode else ""
        return not self.why_not

    def fill(self) -> None:
        """Take all the room that is left, while Postgres may take some, too."""
        taken = 0
        for step in (2**20, 2**12):
            with suppress(OSError), self._filler.open("ab") as file:
                while True:
                    os.posix_fallocate(file.fileno(), taken, step)
                    taken += step

    def empty(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it away, with what is on it."""
        subprocess.run(["umount", str(self.folder)], capture_output=True, check=False)
