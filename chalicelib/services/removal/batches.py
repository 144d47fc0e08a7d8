"""Acting on many objects at once: each has an outcome of its own, and S3 takes so many in a request."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from chalicelib.catalog.files import File
from chalicelib.catalog.objects import Deletion
from chalicelib.errors import LandfallError, StoreUnavailable
from chalicelib.services.context import Context

_MAX_AT_ONCE = 1000

# What S3 answered to one deletion: what it did, its error code, or that it did not answer.
Answer = Deletion | str | LandfallError
# Why it didn't work for each file; None: it worked.
Errors = dict[UUID, LandfallError | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: ``error`` is None if it worked. ``job_id``: the job that is still at work on it."""

    file_id: UUID
    error: LandfallError | None = None
    job_id: UUID | None = None


def by_bucket(found: Iterable[File]) -> Iterable[tuple[str, list[File]]]:
    """Files in groups, with the bucket of each group."""
    groups: dict[str, list[File]] = defaultdict(list)
    for file in found:
        groups[file.bucket].append(file)
    return groups.items()


def delete_in_batches(
    ctx: Context, bucket: str, names: Sequence[tuple[str, str | None]], etags: Sequence[str] = ()
) -> list[Answer]:
    """Delete in batches of what S3 takes at once; a batch that S3 doesn't answer fails alone."""
    answers: list[Answer] = []
    for start in range(0, len(names), _MAX_AT_ONCE):
        batch = names[start : start + _MAX_AT_ONCE]
        try:
            answers += ctx.store.deleter.delete_many(bucket, batch, etags[start : start + _MAX_AT_ONCE])
        except LandfallError as error:
            answers += [error] * len(batch)
    return answers


def error_in(answer: Answer) -> LandfallError | None:
    """What an answer says went wrong; None if nothing did."""
    if isinstance(answer, str):
        return StoreUnavailable(f"The object store refused: {answer}.")
    return answer if isinstance(answer, LandfallError) else None
