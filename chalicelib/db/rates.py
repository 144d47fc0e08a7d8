"""What callers have used of their rates, all processes together: see `chalicelib.services.accounts.rates`."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from chalicelib.db.engine import prepared_write

# `full_at`: when the bucket is full again if nothing more is taken. One number is the whole bucket, and two processes that take
# from it at once both count. By the database's clock, which is the one that all of them share.
_USE = prepared_write(
    text("""
INSERT INTO rates AS r (user_id, full_at)
VALUES (CAST(:user_id AS uuid), clock_timestamp() + make_interval(secs => CAST(:seconds AS float8)))
ON CONFLICT (user_id) DO UPDATE
SET full_at = greatest(r.full_at, clock_timestamp()) + make_interval(secs => CAST(:seconds AS float8))
RETURNING extract(epoch FROM full_at - clock_timestamp())::float8
""")
)
_FORGET = text("DELETE FROM rates WHERE full_at < now() - interval '1 day'")


def use(session: Session, user_id: UUID, seconds: float) -> float:
    """Take what refills in ``seconds`` from a user's bucket; returns in how many seconds it is full again then."""
    return float(session.execute(_USE, {"user_id": user_id, "seconds": seconds}).scalar_one())


def forget_full(session: Session) -> int:
    """Forget buckets that have been full for a day; returns how many."""
    return int(session.connection().execute(_FORGET).rowcount)
