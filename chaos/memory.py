"""What a member was told, to be held against the catalogue in the end."""

from dataclasses import dataclass, field

from chaos.asking import Answer


@dataclass
class Remembered:
    """A file as its owner knows it.

    ``notes`` are what its metadata may be: what was last confirmed, and what was asked for since and never answered.
    ``state`` is None if it is not known; None for ``notes`` means the same.
    """

    notes: list[int] | None
    state: str | None


@dataclass
class Memory:
    """The files of a member, by their ids."""

    files: dict[str, Remembered] = field(default_factory=dict)

    def remember(self, file_id: str, note: int, state: str | None) -> None:
        """A new file."""
        self.files[file_id] = Remembered([note], state)

    def edited(self, file_id: str, note: int, told: Answer | None) -> None:
        """What a request leaves that was to set the metadata."""
        file = self.files[file_id]
        if told is not None and told.status == 200:
            file.notes = [note]
        elif (told is None or told.status >= 500) and file.notes is not None:
            file.notes.append(note)

    def changed(self, file_id: str, told: Answer | None, state: str | None) -> None:
        """What a request leaves that changes a file's state. A refusal changes nothing; a job or no answer is a doubt."""
        if told is not None and 400 <= told.status < 500:
            return
        is_sure = told is not None and told.status in (200, 204)
        self.files[file_id].state = state if is_sure else None

    def doubt(self, file_id: str) -> None:
        """From now on the file's state is not known."""
        self.files[file_id].state = None

    def known(self, state: str = "") -> list[str]:
        """The ids of the files, or of those in a state."""
        return [file_id for file_id, file in self.files.items() if not state or file.state == state]
