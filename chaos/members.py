"""A member who uses the API's routes, and remembers what it was told."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import urllib3

from chaos.asking import Answer, Asker
from chaos.memory import Memory


class Member:
    """One user. Its requests come one after the other, so that it knows in which order they count."""

    def __init__(self, asker: Asker, api_url: str, random: Random) -> None:
        """``asker`` asks as the user."""
        self.asker, self._api_url, self._random, self.memory = asker, api_url, random, Memory()
        self.user_id = asker.headers["X-Landfall-User"]
        self._share_urls: list[str] = []
        self._shares: list[str] = []

    def act(self) -> None:
        """Do one thing that users do."""
        actions: list[tuple[Callable[[], None], int]] = [
            (self._upload, 6), (self._send_directly, 6), (self._send_parts, 2), (self._edit, 8), (self._delete, 4),
            (self._restore, 3), (self._move, 3), (self._copy, 3), (self._delete_many, 1), (self._restore_many, 1),
            (self._session, 2), (self._share, 2), (self._use_share, 1), (self._zip, 1), (self._read, 4), (self._trash, 1),
        ]  # fmt: skip
        (action,) = self._random.choices([one for one, _ in actions], [weight for _, weight in actions])
        action()

    # --- new files

    def _upload(self) -> None:
        note = self._note()
        parts = {"metadata": json.dumps({"note": note}), "session_id": f"s{self._random.randrange(3)}"}
        fields: dict[str, Any] = {**parts, "file": ("a file.txt", self._bytes(), "text/plain")}
        body, kind = urllib3.encode_multipart_formdata(fields, "chaos")
        told = self.asker.ask("POST", "/api/files/upload", body=body, content_type=kind)
        if told is not None and told.status == 201:
            self.memory.remember(told.document[0]["id"], note, "stored")

    def _send_directly(self) -> None:
        data = self._bytes()
        wanted = {"name": "ü direct.txt", "size": len(data), "media_type": "text/plain"}
        file = self._begin(wanted | {"method": self._random.choice(("put", "post"))})
        if file is None or self._random.random() < 0.1:
            return  # or abandoned
        plan = file["plan"]
        if plan["method"] == "put":
            self.asker.send("PUT", plan["url"], body=data, headers=plan["headers"])
        else:
            self.asker.send("POST", plan["url"], fields={**plan["fields"], "file": ("f", data)})
        if self._random.random() < 0.7:
            self._complete(file["id"])

    def _send_parts(self) -> None:
        data = self._bytes() + b"!"
        file = self._begin({"name": "parts.bin", "size": len(data), "method": "multipart"})
        if file is None:
            return
        signed = self.asker.ask("POST", f"/api/files/{file['id']}/parts", {"part_numbers": [1]})
        if signed is not None and signed.status == 200:
            self.asker.send("PUT", signed.document["parts"][0]["url"], body=data)
            self._complete(file["id"])

    def _begin(self, wanted: dict[str, Any]) -> dict[str, Any] | None:
        note = self._note()
        begun = self.asker.ask("POST", "/api/files", wanted | {"metadata": {"note": note}})
        if begun is None or begun.status != 201:
            return None
        self.memory.remember(begun.document["id"], note, "pending")
        return dict(begun.document)

    def _complete(self, file_id: str) -> None:
        self.memory.completed(file_id, self.asker.ask("POST", f"/api/files/{file_id}/complete", {}))

    # --- files that are there

    def _edit(self) -> None:
        if file_id := self._any():
            note = self._note()
            told = self.asker.ask("PATCH", f"/api/files/{file_id}", {"metadata": {"note": note}})
            self.memory.edited(file_id, note, told)

    def _delete(self) -> None:
        if file_id := self._any():
            self.memory.deleted(file_id, self.asker.ask("DELETE", f"/api/files/{file_id}"))

    def _restore(self) -> None:
        if file_id := self._any():
            self.memory.restored(file_id, self.asker.ask("POST", f"/api/files/{file_id}/restore", {}))

    def _move(self) -> None:
        """Whatever comes of it, the file stays stored: at its new key or at its old one."""
        if file_id := self._any("stored"):
            key = f"{self.user_id}/moved/{self._random.randrange(10**6)} é.txt"
            self.asker.ask("POST", f"/api/files/{file_id}/move", {"key": key})

    def _copy(self) -> None:
        if file_id := self._any("stored"):
            note = self._note()
            told = self.asker.ask("POST", f"/api/files/{file_id}/copy", {"metadata": {"note": note}})
            if told is not None and told.status == 201:  # with 202, a copy that fails takes its row with it
                self.memory.remember(told.document["id"], note, "stored")

    def _delete_many(self) -> None:
        self._many("bulk-delete", self.memory.deleted)

    def _restore_many(self) -> None:
        self._many("bulk-restore", self.memory.restored)

    def _many(self, what: str, note: Callable[[str, Answer | None], None]) -> None:
        known = sorted(self.memory.files)
        if chosen := self._random.sample(known, min(4, len(known))):
            told = self.asker.ask("POST", f"/api/files/{what}", {"file_ids": chosen})
            results = told.document["results"] if told is not None and told.status == 200 else []
            of_each = {
                one["file_id"]: Answer(one["problem"]["status"] if one["problem"] else 200, one) for one in results
            }
            for file_id in chosen:
                note(file_id, of_each.get(file_id))

    # --- all else

    def _session(self) -> None:
        name = f"s{self._random.randrange(3)}"
        self.asker.ask("POST", "/api/sessions", {"session_id": name})
        self.asker.ask("PATCH", f"/api/sessions/{name}", {"metadata": {"n": self._random.random()}})

    def _share(self) -> None:
        if file_id := self._any("stored"):
            told = self.asker.ask("POST", f"/api/files/{file_id}/shares", {"seconds": 3600})
            if told is not None and told.status == 201:
                self._shares.append(told.document["id"])
                self._share_urls.append(told.document["url"])

    def _use_share(self) -> None:
        if self._share_urls:
            url = self._random.choice(self._share_urls)
            self.asker.ask("GET", url.removeprefix(self._api_url))
            if self._random.random() < 0.3:
                self.asker.ask("DELETE", f"/api/shares/{self._random.choice(self._shares)}")

    def _zip(self) -> None:
        if file_id := self._any("stored"):
            self.asker.ask("POST", "/api/zips", {"file_ids": [file_id], "name": "a.zip"})

    def _trash(self) -> None:
        if self._random.random() < 0.3:
            self.asker.ask("DELETE", "/api/trash")

    def _read(self) -> None:
        paths = ["/api/files?limit=20", "/api/files?q=direct", "/api/jobs", "/api/sessions", "/api/folders?prefix="]
        paths += ["/api/files/facets?by=type", f"/api/users/{self.user_id}/usage"]
        if file_id := self._any():
            paths += [f"/api/files/{file_id}{end}" for end in ("/versions", "/events", "/download", "/shares")]
            self.memory.read(file_id, self.asker.ask("GET", f"/api/files/{file_id}"))
        self.asker.ask("GET", self._random.choice(paths))

    # ---

    def _bytes(self) -> bytes:
        return self._random.randbytes(self._random.choice((1, 100, 20_000)))

    def _note(self) -> int:
        return self._random.randrange(10**9)

    def _any(self, state: str = "") -> str | None:
        known = self.memory.known(state)
        return self._random.choice(known) if known else None
