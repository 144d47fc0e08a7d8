"""Owner rules: whom objects belong to that are put straight into a bucket. For operators.

What lies below ``{user id}/`` belongs to that user without a rule. What no rule is for belongs to nobody, and operators see it.
"""

from uuid import UUID

from chalicelib.db import owner_rules
from chalicelib.db.models import OwnerRule
from chalicelib.db.pages import Page
from chalicelib.errors import NotFound
from chalicelib.services.accounts import trail
from chalicelib.services.context import Transaction


def list_rules(tx: Transaction, limit: int, cursor: str | None) -> Page:
    """A page of the rules, in the order of their creation.

    Raises:
        Forbidden: the caller is no operator. InvalidCursor: the cursor is not one of this list.
    """
    _require_operator(tx)
    return owner_rules.list_rules(tx.session, limit, cursor)


def get_rule(tx: Transaction, rule_id: UUID) -> OwnerRule:
    """One rule.

    Raises:
        Forbidden: the caller is no operator. NotFound: there is no such rule.
    """
    _require_operator(tx)
    rule = owner_rules.find_rule(tx.session, rule_id)
    if rule is None:
        raise NotFound(f"There is no owner rule {rule_id}.")
    return rule


def create_rule(tx: Transaction, bucket: str | None, prefix: str, user_id: UUID) -> OwnerRule:
    """A new rule, for objects that come from now on. No ``bucket``: that of uploads.

    Raises:
        Forbidden: the caller is no operator. Conflict: there is a rule for this prefix already.
        Unprocessable: there is no such user.
    """
    _require_operator(tx)
    rule = owner_rules.add_rule(tx.session, bucket or tx.settings.bucket, prefix, user_id, tx.now)
    trail.note_about(tx, "make_owner_rule", rule.id, user_id)
    return rule


def delete_rule(tx: Transaction, rule_id: UUID) -> None:
    """Delete a rule. Files keep their owners.

    Raises:
        Forbidden: the caller is no operator. NotFound: there is no such rule.
    """
    _require_operator(tx)
    if not owner_rules.delete_rule(tx.session, rule_id):
        raise NotFound(f"There is no owner rule {rule_id}.")
    trail.note_about(tx, "delete_owner_rule", rule_id)


def _require_operator(tx: Transaction) -> None:
    tx.principal.require_operator("see and change owner rules")
