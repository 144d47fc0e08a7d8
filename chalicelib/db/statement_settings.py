"""What a connection sets for a statement, to have it planned well and act for whom it should; kept prepared by these names."""

from collections.abc import Iterable, Mapping

# What is planned while the first one holds gets a plan that serves all values, and that reads no table from end to end: a table
# may be empty now, and have a million rows a minute later. If a statement between them fails, its transaction undoes the first
# one.
ONE_PLAN, PLAN_AS_USUAL = b"one_plan\0", b"plan_as_usual\0"
# A read is a walk along the index that has its rows in their order. The plan that serves all values takes everyone to have as
# many rows as all have on average. If that is less than a page, it would fetch and sort all rows of whoever has a million. If it
# is most of the table, it would walk through others' rows for whoever has few. With pages that cost nothing, the plan that visits
# fewest rows is the cheapest.
ONE_WALK, WALK_AS_USUAL = b"one_walk\0", b"walk_as_usual\0"
# For a read that is a transaction of its own: with the answer the server forgets what was set.
ONE_WALK_ONCE = b"one_walk_once\0"
_OF_WRITES = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
_OF_READS = _OF_WRITES | {
    "enable_sort": "off", "enable_bitmapscan": "off", "random_page_cost": "0", "seq_page_cost": "0",
}  # fmt: skip
# What these set lasts until the transaction ends.
# `landfall.role` and `landfall.search_path` are set once for a connection: see `chalicelib.db.engine`.
ACT_FOR, ONE_WALK_FOR_ONCE = b"act_for\0", b"one_walk_for_once\0"
_ACTING = """
    set_config('role', CASE WHEN $1 = '' THEN 'none' ELSE current_setting('landfall.role') END, true),
    set_config('search_path', concat_ws(', ', nullif($1, ''), current_setting('landfall.search_path')), true),
    set_config('landfall.user_id', $2, true),
    set_config('landfall.prefix', $3, true),
    set_config('landfall.session_id', $4, true)"""


def _planning(settings: Mapping[str, str], is_local: bool) -> str:
    return ", ".join(f"set_config('{name}', '{value}', {str(is_local).lower()})" for name, value in settings.items())


def _as_usual(names: Iterable[str]) -> str:
    # NULL is the server's own value.
    return ", ".join(f"set_config('{name}', NULL, false)" for name in names)


_SETTINGS = {
    ONE_PLAN: _planning(_OF_WRITES, is_local=False),
    ONE_WALK: _planning(_OF_READS, is_local=False),
    PLAN_AS_USUAL: _as_usual(_OF_WRITES),
    WALK_AS_USUAL: _as_usual(_OF_READS),
    ONE_WALK_ONCE: _planning(_OF_READS, is_local=True),
    ACT_FOR: _ACTING,
    ONE_WALK_FOR_ONCE: f"{_planning(_OF_READS, is_local=True)}, {_ACTING}",
}
# They send no rows, which would be taken for those of the statement that follows.
STATEMENTS = {name: f"SELECT WHERE concat({settings}) IS NULL" for name, settings in _SETTINGS.items()}
