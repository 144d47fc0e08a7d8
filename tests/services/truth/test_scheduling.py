"""Audits by the clock: when they begin, of what, within what bounds, and what is remembered of them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, text

from chalicelib import runtime
from chalicelib.catalog.audits import Audit, AuditRequest, BucketTruth
from chalicelib.catalog.objects import EVERYTHING
from chalicelib.errors import StoreUnavailable
from chalicelib.services.context import Context
from chalicelib.services.truth import auditing, scheduling
from chalicelib.services.truth.buckets import adopt_bucket
from chalicelib.settings import Settings
from chalicelib.store.client import ObjectStore
from tests.support.aws import make_bucket
from tests.support.contexts import context_on

_numbers = count()


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"scheduled-{next(_numbers)}"
    make_bucket(s3, name, versioned=True)
    return name


@pytest.fixture
def clock(engine: Engine, s3: Any, bucket: str) -> Callable[..., Context]:
    """Makes contexts of some minutes later, with other settings."""

    def context(minutes: float = 0, **settings: Any) -> Context:
        store = ObjectStore(s3, s3, lambda: EVERYTHING)
        wanted = Settings(bucket=bucket).model_copy(update=settings)
        return context_on(engine, store, settings=wanted, clock=lambda: runtime.now() + timedelta(minutes=minutes))

    return context


def begun(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT bucket, prefix FROM audits WHERE is_scheduled ORDER BY id"))
        return [(row.bucket, row.prefix) for row in rows]


def run(ctx: Context, requests: float = 1000) -> int:
    scheduling.begin_due_audits(ctx)
    return auditing.work_on_audits(ctx, 30, requests)


def truth(ctx: Context) -> BucketTruth:
    return next(one for one in scheduling.known_truth(ctx) if one.bucket == ctx.settings.bucket)


def test_a_whole_bucket_is_put_right_once_an_hour(
    clock: Callable[..., Context], engine: Engine, s3: Any, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="untold", Body=b"1")
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(scheduling.begin_due_audits, [clock()] * 4)) == 1
    assert truth(clock()).agreed_at is None

    auditing.work_on_audits(clock(), 30, 1000)
    assert truth(clock()).agreed_at
    assert (truth(clock()).last_drift, truth(clock()).is_braked) == (0, False), "what has just come is no drift"
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT size FROM files WHERE key = 'untold'")) == 1

    assert [run(clock(minutes)) for minutes in (1, 59, 61, 62)] == [0, 0, 1, 0]
    assert begun(engine) == [(bucket, "")] * 2
    assert truth(clock(62)).drift_within_hour == 0


def test_the_clock_begins_nothing_where_it_is_told_not_to(clock: Callable[..., Context], engine: Engine) -> None:
    assert scheduling.begin_due_audits(clock(audit_minutes=0, audit_active_minutes=0)) == 0
    assert begun(engine) == []


def test_a_folder_that_was_written_to_is_looked_at_more_often(
    clock: Callable[..., Context], engine: Engine, s3: Any, bucket: str
) -> None:
    for key in ("active/1", "active/deep/2", "other/3", "top"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    run(clock())
    with engine.begin() as connection:
        connection.execute(text("UPDATE files SET updated_at = updated_at - interval '1 day' WHERE key LIKE 'o%'"))

    assert run(clock(10)) == 0
    assert run(clock(14)) == 0
    # The whole bucket was looked at a quarter of an hour ago, and the files were written after that began.
    with engine.begin() as connection:
        connection.execute(text("UPDATE files SET updated_at = :now WHERE key LIKE 'a%'"), {"now": clock(10).now})
    s3.put_object(Bucket=bucket, Key="active/lost", Body=b"22")
    assert run(clock(16)) == 1
    assert begun(engine) == [(bucket, ""), (bucket, "active/")]
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT size FROM files WHERE key = 'active/lost'")) == 2
    assert run(clock(20)) == 0, "one is enough"


def test_adopted_buckets_are_looked_at_too(clock: Callable[..., Context], engine: Engine, s3: Any, bucket: str) -> None:
    make_bucket(s3, f"{bucket}-adopted", versioned=False)
    with clock().transaction() as tx:
        assert adopt_bucket(tx, f"{bucket}-adopted")
        assert not adopt_bucket(tx, f"{bucket}-adopted")
        assert not adopt_bucket(tx, bucket), "it is the settings' own"
    run(clock())
    assert sorted(begun(engine)) == [(bucket, ""), (f"{bucket}-adopted", "")]


def test_the_budget_of_requests_is_kept_and_the_audit_goes_on_later(
    clock: Callable[..., Context], engine: Engine, s3: Any, bucket: str
) -> None:
    for number in range(12):
        s3.put_object(Bucket=bucket, Key=f"k{number:02}", Body=b"1")
    pages: list[int] = []

    def shorten(params: dict[str, Any], **_: Any) -> None:
        pages.append(params.setdefault("MaxKeys", 3))

    event = "provide-client-params.s3.ListObjectVersions"
    s3.meta.events.register(event, shorten)
    try:
        runs = 0
        while run(clock(), requests=2):
            assert len(pages) <= 4, "one page is fetched ahead, and one is under way"
            pages.clear()
            runs += 1
    finally:
        s3.meta.events.unregister(event, shorten)
    assert runs > 2
    assert truth(clock()).agreed_at


def test_a_bucket_that_cannot_be_read_keeps_no_other_from_being_audited(
    clock: Callable[..., Context], engine: Engine, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "_TRIES", 1)
    with clock().transaction() as tx:
        auditing.begin_audit(tx, AuditRequest("unreadable"))
    with pytest.raises(StoreUnavailable):
        run(clock())
    assert truth(clock()).agreed_at


def test_one_that_fails_keeps_no_other_from_being_audited(
    clock: Callable[..., Context], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = clock()
    with ctx.transaction() as tx:
        first = auditing.begin_audit(tx, AuditRequest(ctx.settings.bucket))
        second = auditing.begin_audit(tx, AuditRequest(ctx.settings.bucket))
    compare = auditing.compare_range

    def fail(ctx: Context, audit: Audit, *rest: Any) -> None:
        if audit.id == first:
            raise ValueError("No such thing was thought of.")
        compare(ctx, audit, *rest)

    monkeypatch.setattr(auditing, "compare_range", fail)
    with pytest.raises(ValueError, match="No such thing"):
        auditing.work_on_audits(ctx, 30, 1000)
    with ctx.transaction() as tx:
        assert [auditing.get_audit(tx, one).state for one in (first, second)] == ["listing", "done"]


def test_one_that_waits_keeps_no_other_from_being_audited(
    clock: Callable[..., Context], engine: Engine, s3: Any, bucket: str
) -> None:
    """What an audit isn't sure of, it looks at again when the time of its grace is over: here after a day."""
    ctx = clock()
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    auditing.audit(ctx, AuditRequest(bucket, repairs=True, grace=timedelta()))
    s3.delete_object(Bucket=bucket, Key="a")
    with ctx.transaction() as tx:
        waits = auditing.begin_audit(tx, AuditRequest(bucket, grace=timedelta(days=1)))
    scheduling.begin_due_audits(clock(61))
    assert auditing.work_on_audits(ctx, 3, 1000) == 2
    with ctx.transaction() as tx:
        assert auditing.get_audit(tx, waits).state == "settling"
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT state FROM audits WHERE is_scheduled")) != "listing"


def test_an_inventory_that_is_never_loaded_holds_no_audit_of_the_clock_up(
    clock: Callable[..., Context], engine: Engine
) -> None:
    ctx = clock()
    with ctx.transaction() as tx:
        auditing.begin_audit(tx, AuditRequest(ctx.settings.bucket, repairs=True))
    with engine.begin() as connection:
        connection.execute(text("UPDATE audits SET state = 'loading'"))
    scheduling.begin_due_audits(clock(59))
    assert begun(engine) == []
    scheduling.begin_due_audits(clock(61))
    assert begun(engine) == [(ctx.settings.bucket, "")]


def test_old_audits_are_forgotten_but_not_what_is_known_of_a_bucket(
    clock: Callable[..., Context], engine: Engine, bucket: str
) -> None:
    for minutes in (0, 100, 200):
        run(clock(minutes))
    with clock(300).transaction() as tx:
        part = auditing.begin_audit(tx, AuditRequest(bucket, "part/"))
    auditing.work_on_audit(clock(300), part)
    known = truth(clock(300))

    assert scheduling.forget_old_audits(clock(310)) == 0
    assert scheduling.forget_old_audits(clock(60 * 24 * 3)) == 2
    assert scheduling.forget_old_audits(clock(60 * 24 * 31)) == 1, "somebody had asked for the one of a part"
    left = truth(clock(300))
    assert (left.agreed_at, left.last_audit) == (known.agreed_at, known.last_audit)


@pytest.mark.parametrize(
    ("keys", "large", "folders"),
    [
        ([], set(), []),
        (["top", "also"], set(), []),
        (["a/1", "b/1", "b/c/2"], set(), ["b/", "a/"]),
        (["a/b/1", "a/c/2", "a/c/3", "a/4"], {"a/"}, ["a/c/", "a/b/"]),
        (["a/b/c/1", "d/2"], {"a/", "a/b/"}, ["d/", "a/b/c/"]),
        (["/1", "//2"], {"/"}, ["//"]),
        ([f"{number}/k" for number in range(50)], set(), [f"{number}/" for number in range(20)]),
    ],
)
def test_the_topmost_folders_that_are_not_large(keys: list[str], large: set[str], folders: list[str]) -> None:
    assert scheduling.active_folders(keys, large.__contains__) == folders


def test_a_tree_of_large_folders_is_not_looked_through_for_ever() -> None:
    asked: list[str] = []

    def is_large(folder: str) -> bool:
        asked.append(folder)
        return True

    deep = [f"{'/'.join(str(number * part) for part in range(1, 200))}/k" for number in range(1, 30)]
    assert scheduling.active_folders(deep, is_large) == []
    assert len(asked) <= 60
