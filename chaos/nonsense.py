"""Messages that nobody can read, and events of a bucket that is not recorded."""

import json
import threading
from random import Random

from botocore.exceptions import BotoCoreError, ClientError

from dev.infra import client
from tests.support.notifications import body, s3_record

_POISON = "poison"
_FOREIGN = "somebody-elses-bucket"


def is_poison(text: str) -> bool:
    """Whether a message is one of those that nobody can read."""
    return _POISON in text


class Nonsense:
    """Sends such messages to the queue."""

    def __init__(self, queue_url: str, endpoint_url: str, random: Random, most: int) -> None:
        """``most`` are sent, since the end of a run must wait for all of their tries."""
        self._queue_url, self._random, self._left = queue_url, random, most
        self._sqs = client("sqs", endpoint_url, read_timeout=10)

    def act(self) -> None:
        """Send one, if some are left."""
        if self._left == 0:
            threading.Event().wait(1)
            return
        self._left -= 1
        foreign = s3_record("ObjectCreated:Put", "theirs", bucket=_FOREIGN, size=1, etag="e", version_id="v")
        text = self._random.choice((json.dumps({_POISON: self._random.random()}), body(foreign)))
        try:
            self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=text)
        except (BotoCoreError, ClientError):
            return
        finally:
            threading.Event().wait(1)
