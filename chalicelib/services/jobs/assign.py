"""Giving files that belong to nobody to whom the owner rules say: those that were there before a rule."""

from dataclasses import replace
from uuid import UUID

from chalicelib.catalog.commands import AssignOwners
from chalicelib.catalog.progress import AssignProgress
from chalicelib.db.models import Job
from chalicelib.db.owner_rules import assign_owners, find_unowned
from chalicelib.services.accounts.owner_rules import get_rule
from chalicelib.services.context import Transaction
from chalicelib.services.jobs.queue import Work, create_job

_AT_ONCE = 500


def begin_assigning(tx: Transaction, rule_id: UUID) -> Job:
    """The job that applies the rules to the files below a rule's prefix that belong to nobody.

    Raises:
        Forbidden: the caller is no operator. NotFound: there is no such rule.
    """
    rule = get_rule(tx, rule_id)
    return create_job(tx, AssignOwners(rule.bucket, rule.prefix))


def assign_step(work: Work[AssignOwners, AssignProgress]) -> bool:
    """Give some hundred files to their owners, in the order of their keys.

    All rules are asked, as for a new object: below this rule's prefix, longer ones go before it. A file that has an owner
    keeps it.

    Raises:
        Forbidden: the caller is no operator (any more).
    """
    command, progress = work.command, work.progress
    work.ctx.principal.require_operator("give files to others")
    # Until the transaction has ended, only the table knows how far the job is: the answer to its commit may be lost.
    work.progress = AssignProgress()
    with work.ctx.transaction() as tx:
        found = find_unowned(tx.session, command.bucket, command.prefix, progress.after_key or "", _AT_ONCE)
        if found:
            done = progress.done + assign_owners(tx.session, found, tx.now)
            progress = replace(progress, done=done, after_key=found[-1].key)
            work.save_with(tx, progress)  # in the same transaction, so that no file is counted twice
    work.progress = progress
    return len(found) < _AT_ONCE
