"""The monthly partitions of ``file_events``."""

from datetime import UTC, datetime

from sqlalchemy import Connection, text

_MONTHS_BACK, _MONTHS_AHEAD = 1, 3

# If the maintenance schedule stood still for months, rows of a month may have come before its partition. They wait in
# the default partition. As long as they are there, Postgres refuses the new partition, so they are moved first.
_MOVE = """
WITH moved AS (DELETE FROM file_events_default WHERE event_time >= :start AND event_time < :stop RETURNING *)
INSERT INTO {name} OVERRIDING SYSTEM VALUE SELECT * FROM moved
"""


def ensure_event_partitions(connection: Connection, now: datetime) -> list[str]:
    """Make the partitions from last month to three months ahead; returns the names of those it made.

    Events of any other month go to the default partition, so a missing one loses nothing.
    """
    made = []
    for offset in range(-_MONTHS_BACK, _MONTHS_AHEAD + 1):
        start, stop = _month(now, offset), _month(now, offset + 1)
        name = f"file_events_{start:%Y_%m}"
        if connection.execute(text("SELECT to_regclass(:name) IS NULL"), {"name": name}).scalar_one():
            _make(connection, name, start, stop)
            made.append(name)
    return made


def _month(now: datetime, offset: int) -> datetime:
    months = now.year * 12 + now.month - 1 + offset
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def _make(connection: Connection, name: str, start: datetime, stop: datetime) -> None:
    connection.execute(text("LOCK TABLE file_events IN ACCESS EXCLUSIVE MODE"))
    connection.execute(text(f"CREATE TABLE {name} (LIKE file_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
    connection.execute(text(_MOVE.format(name=name)), {"start": start, "stop": stop})
    bounds = f"FROM ('{start.isoformat()}') TO ('{stop.isoformat()}')"
    connection.execute(text(f"ALTER TABLE file_events ATTACH PARTITION {name} FOR VALUES {bounds}"))
