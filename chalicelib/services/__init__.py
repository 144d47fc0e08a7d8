"""Use cases: plain functions that take a session, a principal and a command. They flush; whoever called commits.

One that also acts on the object store takes a `Transaction` instead: it opens as many as it needs, none of them while S3 is
at work.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy.orm import Session as Session

Transaction = Callable[[], AbstractContextManager[Session]]
