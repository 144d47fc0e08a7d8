"""All clients of a run, each in a thread of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from chaos.asking import Asker
from chaos.journal import Journal
from chaos.members import Member
from chaos.nonsense import Nonsense
from chaos.rivals import Rival
from chaos.stack import Stack
from chaos.strangers import Stranger

_MEMBERS, _RIVALS = 4, 3


class Clients:
    """Members, rivals, strangers, and one who sends nonsense. ``troubles`` are errors of their own; ``askers`` ask the API."""

    def __init__(self, stack: Stack) -> None:
        """The users are made at once, so the stack must run."""
        self._stack = stack
        self.askers: list[Asker] = []
        self.members = [self._member(number) for number in range(_MEMBERS)]
        self.troubles: list[str] = []
        self._others: list[Rival | Stranger | Nonsense] = [*self._rivals(), *self._strangers(), self._nonsense()]
        self._end = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have all act until the end of the ``with``."""
        threads = [self._thread(one.act) for one in (*self.members, *self._others)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._end.set()
            for thread in threads:
                thread.join(90)

    def _thread(self, act: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=self._go_on, args=(act,), daemon=True)

    def _go_on(self, act: Callable[[], None]) -> None:
        while not self._end.wait(0.02):
            try:
                act()
            except Exception as error:  # noqa: BLE001 - told in the report, and the others go on
                self.troubles.append(repr(error))
                return

    def _asker(self, name: str) -> Asker:
        """Asks as a new user."""
        asker = self._anonymous_asker(name)
        asker.headers = {"X-Landfall-User": str(asker.require("POST", "/api/users", {"name": name})["id"])}
        return asker

    def _anonymous_asker(self, name: str) -> Asker:
        asker = Asker(self._stack.configuration.api_url, self._journal(name))
        self.askers.append(asker)
        return asker

    def _member(self, number: int) -> Member:
        return Member(
            self._asker(f"member-{number}"), self._stack.configuration.api_url, self._random(f"member {number}")
        )

    def _rivals(self) -> Iterator[Rival]:
        files: dict[str, str] = {}
        user = self._asker("rivals").headers
        for number in range(_RIVALS):
            asker = self._anonymous_asker(f"rival-{number}")
            asker.headers = user
            in_s3 = self._journal(f"rival-{number}-in-s3")
            random = self._random(f"rival {number}")
            yield Rival(asker, self._stack.s3_url, self._stack.buckets[0], files, in_s3, random)

    def _strangers(self) -> Iterator[Stranger]:
        """One at keys of its own in each bucket."""
        for number, bucket in enumerate(self._stack.buckets):
            journal, random = self._journal(f"stranger-{number}"), self._random(f"stranger {number}")
            yield Stranger(self._stack.s3_url, bucket, journal, random, str(number))

    def _nonsense(self) -> Nonsense:
        queue_url = f"{self._stack.s3_url}/{self._stack.deployed.queue_url.split('/', 3)[3]}"
        most = int(self._stack.options.seconds / 2)  # one a second
        return Nonsense(queue_url, self._stack.s3_url, self._random("nonsense"), most)

    def _journal(self, who: str) -> Journal:
        return Journal(self._stack.home / "journal", who)

    def _random(self, who: str) -> Random:
        return Random(f"{self._stack.options.seed}/{who}")
