"""An index of an owner's files by name: a member's list by name is one walk, however many files others have.

Revision ID: 0034
"""

from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.execute(
        "CREATE INDEX files_own_names_idx ON files (owner_id, name, id) WHERE owner_id IS NOT NULL AND state <> 'deleted'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX files_own_names_idx")
