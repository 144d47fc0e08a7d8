"""Folders in keys: every one is found once, with the right sums, however few keys are read at once."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from chalicelib.db import folders
from chalicelib.db.bounds import Bounds
from chalicelib.db.folders import Folder, list_folders, sum_below
from chalicelib.db.scope import EVERYONE, Owner, Scope
from chalicelib.errors import InvalidCursor
from tests.support.bounded import BUCKET, OTHER, OWNER, fill

LAST = chr(0x10FFFF)


@pytest.fixture(scope="module")
def engine_url(new_migrated_database: Callable[[], str]) -> str:
    return new_migrated_database()


@pytest.fixture
def session(engine_url: str) -> Iterator[Session]:
    """Rolled back after each test."""
    engine = create_engine(engine_url)
    with Session(engine) as session:
        yield session
    engine.dispose()


def bounds(counted: int) -> Bounds:
    return Bounds(ranked=1, counted=counted, seconds=60)


Sums = dict[str, tuple[int, bool]]


def walk(session: Session, scope: Scope, prefix: str, limit: int, within: Bounds | None) -> tuple[Sums, int]:
    """What all pages hold, and how many there were."""
    found: Sums = {}
    pages, cursor = 0, None
    while True:
        page = list_folders(session, scope, Folder(BUCKET, prefix), within, limit, cursor)
        items = json.loads(page.items)
        assert len(items) <= limit
        for item in items:
            assert item["prefix"] not in found
            assert item["prefix"] == f"{prefix}{item['name']}/"
            assert item["bytes"] == 10 * item["files"]
            found[item["prefix"]] = (item["files"], item["exact"])
        pages, cursor = pages + 1, page.next_cursor
        if cursor is None:
            assert list(found) == sorted(found)  # code points sort as their bytes in UTF-8
            return found, pages


def expected(keys: list[str], prefix: str) -> dict[str, int]:
    below = [key[len(prefix) :] for key in keys if key.startswith(prefix)]
    return Counter(prefix + key[: key.index("/") + 1] for key in below if "/" in key)


@pytest.mark.parametrize("seed", range(6))
def test_every_folder_is_found_once_with_its_sum(session: Session, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    parts = ["a", "b", "a0", "a!", "/", "//", "ü", LAST, "\ud7ff", "\ue000", "%", "_", "", "ab/c/d", "z" * 40]
    keys = list({"/".join(chance.choices(parts, k=chance.randint(1, 4))) or "x" for _ in range(120)})
    chance.shuffle(keys)
    fill(session, OWNER, keys[:40], start=0)
    fill(session, OTHER, keys[40:80], start=40)
    fill(session, None, keys[80:100], start=80)
    fill(session, OWNER, keys[100:], start=100, state="deleted")
    fill(session, OWNER, [f"elsewhere/{key}" for key in keys], start=200, bucket="elsewhere")
    for scope, visible in ((EVERYONE, keys[:100]), (Owner(OWNER), keys[:40])):
        for prefix in ("", "a", "a/", "/", LAST, f"{LAST}/", "\ud7ff", "nothing"):
            sums = expected(visible, prefix)
            for within in (None, bounds(10_000)):
                found, _ = walk(session, scope, prefix, chance.choice([1, 2, 100]), within)
                assert found == {folder: (files, True) for folder, files in sums.items()}
                total = sum_below(session, scope, Folder(BUCKET, prefix), within)
                files = sum(key.startswith(prefix) for key in visible)
                assert (total.files, total.bytes, total.exact) == (files, 10 * files, True)

            found, _ = walk(session, scope, prefix, 3, bounds(2))
            assert found.keys() == sums.keys()
            assert all(files <= sums[folder] for folder, (files, _) in found.items())
            assert all(files == sums[folder] for folder, (files, exact) in found.items() if exact)


def test_beyond_the_bound_sums_are_of_at_least_so_many(session: Session) -> None:
    fill(session, OWNER, [f"large/{n}" for n in range(50)] + ["small/1"], start=0)
    for scope in (EVERYONE, Owner(OWNER)):
        found, _ = walk(session, scope, "", 10, bounds(20))  # ten for each of two
        assert found == {"large/": (11, False), "small/": (1, True)}
        total = sum_below(session, scope, Folder(BUCKET, ""), bounds(20))
        assert (total.files, total.bytes, total.exact) == (21, 210, False)


def test_a_page_ends_where_it_has_read_enough_and_the_next_goes_on(session: Session) -> None:
    many = 5 * folders._AT_ONCE
    fill(session, OWNER, ["a/1", "y/1", "z/1"] + [f"b{n:05}" for n in range(many)], start=0)
    fill(session, OWNER, [f"x{n:05}/gone" for n in range(many)], start=10_000, state="deleted")
    for scope in (EVERYONE, Owner(OWNER)):
        found, pages = walk(session, scope, "", 100, bounds(2 * folders._AT_ONCE))
        assert found == {"a/": (1, True), "y/": (1, True), "z/": (1, True)}
        assert 1 < pages <= 8
        assert walk(session, scope, "", 100, None) == (found, 1)


def test_nobody_elses_folders_are_shown(session: Session) -> None:
    fill(session, OWNER, ["shared/mine", "zoo/mine"], start=0)
    fill(session, OTHER, [f"shared/{n}" for n in range(300)] + [f"folder{n}/x" for n in range(300)], start=10)
    found, pages = walk(session, Owner(OWNER), "", 100, bounds(100))
    assert (found, pages) == ({"shared/": (1, True), "zoo/": (1, True)}, 1)
    stranger = Owner(UUID(int=1))
    assert walk(session, stranger, "", 100, bounds(100)) == ({}, 1)
    assert sum_below(session, stranger, Folder(BUCKET, ""), None).files == 0


def test_a_cursor_of_another_folder_is_refused(session: Session) -> None:
    fill(session, OWNER, ["a/b/1", "a/c/1", "d/e/1"], start=0)
    page = list_folders(session, EVERYONE, Folder(BUCKET, "a/"), None, 1, None)
    with pytest.raises(InvalidCursor):
        list_folders(session, EVERYONE, Folder(BUCKET, "d/"), None, 1, page.next_cursor)
