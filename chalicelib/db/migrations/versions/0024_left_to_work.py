"""Jobs that bring deleted files back, and that take back an upload which failed half way.

Revision ID: 0024

The previous release makes none of them. Its clock claims those that this release makes, fails at them with a KeyError, and
comes again after three minutes: until it is replaced, others wait behind them. Whoever goes back to it ends them first: see
docs/operations.md.
"""

from alembic import op

revision = "0024"
down_revision = "0023"

_KINDS_BEFORE = (
    "'copy', 'move', 'restore', 'delete_folder', 'empty_trash', 'zip', 'assign_owners', 'hand_over', 'delete_user'"
)


def upgrade() -> None:
    _set_kinds(f"{_KINDS_BEFORE}, 'undelete', 'take_back'")


def downgrade() -> None:
    # What is reserved for a restore is freed by the clock, once nobody claims the file any more.
    op.execute("DELETE FROM jobs WHERE kind IN ('undelete', 'take_back')")
    _set_kinds(_KINDS_BEFORE)


def _set_kinds(kinds: str) -> None:
    op.execute("ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check")
    op.execute(f"ALTER TABLE jobs ADD CONSTRAINT jobs_kind_check CHECK (kind IN ({kinds}))")
