"""What a member was told, to be held against the catalogue in the end."""

from dataclasses import dataclass, field

from chaos.asking import Answer


@dataclass
class Remembered:
    """A file as its owner knows it.

    ``notes`` are what its metadata may be: what was last confirmed, and what was asked for since and never answered.
    ``state`` is "pending" until the owner was told that the bytes are there, and promises nothing; then "stored" or "deleted".
    None: it is not known, and never will be. A request that was not answered may be carried out much later, after the answers
    to later ones: it may wait in the socket of a server that hangs. And the routes answer with what the catalogue knows, which
    is what S3 holds only once the event of such a request has come.
    """

    notes: list[int]
    state: str | None


@dataclass
class Memory:
    """The files of a member, by their ids. ``surprises`` are answers that contradict earlier ones."""

    files: dict[str, Remembered] = field(default_factory=dict)
    surprises: list[str] = field(default_factory=list)

    def remember(self, file_id: str, note: int, state: str) -> None:
        """A new file."""
        self.files[file_id] = Remembered([note], state)

    def edited(self, file_id: str, note: int, told: Answer | None) -> None:
        """What a request leaves that was to set the metadata."""
        file = self.files[file_id]
        if told is not None and told.status == 200:
            file.notes = [note]
        elif told is None or told.status >= 500:
            file.notes.append(note)

    def completed(self, file_id: str, told: Answer | None) -> None:
        """What a request leaves that completes an upload."""
        file = self.files[file_id]
        if told is not None and told.status == 200 and file.state == "pending":
            file.state = "stored"

    def deleted(self, file_id: str, told: Answer | None) -> None:
        """What a deletion leaves. What was pending may still come by the link that was signed."""
        file = self.files[file_id]
        if told is not None and told.status == 404 and file.state == "stored":
            self.surprises.append(f"file {file_id} was stored, and is not there when it is to be deleted")
        if told is not None and 400 <= told.status < 500:
            return
        file.state = (
            "deleted" if told is not None and told.status < 300 and file.state in ("stored", "deleted") else None
        )

    def restored(self, file_id: str, told: Answer | None) -> None:
        """What a restore leaves. A refusal changes nothing, nor does the restore of a file that waits for its bytes."""
        file = self.files[file_id]
        if told is None or told.status >= 500 or told.status == 202:
            file.state = None
        elif told.status == 200 and file.state == "deleted":
            file.state = "stored"

    def read(self, file_id: str, told: Answer | None) -> None:
        """Hold the answer of a GET against what is known."""
        known = self.files[file_id].state
        if told is None or told.status >= 400 or known not in ("stored", "deleted"):
            return
        if told.document["state"] != known:
            self.surprises.append(f"file {file_id} was {known}, and is read as {told.document['state']}")

    def known(self, state: str = "") -> list[str]:
        """The ids of the files, or of those in a state."""
        return [file_id for file_id, file in self.files.items() if not state or file.state == state]
