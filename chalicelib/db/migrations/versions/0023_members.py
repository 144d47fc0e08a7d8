"""Views of what belongs to one user; triggers that work for whoever changes a file.

Revision ID: 0023
"""

from alembic import op
from sqlalchemy import text

from chalicelib.db.member_views import drop_schemas, empty_schemas

revision = "0023"
down_revision = "0022"

# Who changes files through a view may use neither the usage nor the search queue, which the triggers write.
_FUNCTIONS = (
    "count_usage_after_insert",
    "count_usage_after_update",
    "count_usage_after_delete",
    "queue_new_for_search",
    "queue_changed_for_search",
)


def upgrade() -> None:
    schema = op.get_bind().execute(text("SELECT quote_ident(current_schema())")).scalar_one()
    for name in _FUNCTIONS:
        op.execute(f"ALTER FUNCTION {name}() SECURITY DEFINER SET search_path = {schema}, pg_temp")
    # What was at an earlier location of a file is found by its key.
    op.execute("CREATE INDEX file_places_key_bucket_idx ON file_places (key, bucket)")
    empty_schemas(op.get_bind())


def downgrade() -> None:
    drop_schemas(op.get_bind())
    op.execute("DROP INDEX file_places_key_bucket_idx")
    for name in _FUNCTIONS:
        op.execute(f"ALTER FUNCTION {name}() SECURITY INVOKER RESET search_path")
