"""Balance checkpoints: once an hour, what stands on the accounts that no transaction updates.

For: the periodic job `balances`.
Guarantees: a checkpoint covers a whole number of leaves of the log, so it can be made again from
them, which check 9 of the audit does; work is done in batches of their own transactions, so that
money waits for no more than one of them.
Does not: hold up anything when it is late: a balance is a checkpoint and the sum of what follows.

Spec §5.1, §16.3. Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from settlement.service.audit_base import Check
from settlement.store.balances import keep_checkpoint, last_checkpoint
from settlement.store.log import log_size

if TYPE_CHECKING:
    from settlement.service.audit_base import AuditContext, Outcome
    from settlement.service.job_runner import Run
    from settlement.store.audit import AuditReader
    from settlement.store.database import Database, Tx

BALANCES: Final = "balances"
BALANCES_SECONDS: Final = 3600
#: Leaves per transaction; a fraction of a second on either database.
BATCH: Final = 20_000


class Balances:
    """The handler of `balances`."""

    def __init__(self, db: Database, batch: int = BATCH) -> None:
        self._db = db
        self._batch = batch

    def handle(self, _run: Run) -> dict[str, int]:
        """One round, up to the end of the log as it is now."""
        return {"tree_size": self.step()}

    def step(self) -> int:
        """Add checkpoints until the log is covered; how many leaves are."""
        size, reached = self._db.read(lambda tx: (log_size(tx), last_checkpoint(tx)))
        while reached < size:
            upto = min(size, reached + self._batch)

            def keep(tx: Tx, since: int = reached, upto: int = upto) -> None:
                # Another process may have come further; ours goes on from there, for a checkpoint
                # made of one that is not stored would forget all that came before.
                since = last_checkpoint(tx) or since
                if since < upto:
                    keep_checkpoint(tx, since, upto)

            self._db.transaction(keep)
            reached = upto
        return reached


# --- audit ---------------------------------------------------------------------------------------


def _remade(reader: AuditReader, _context: AuditContext) -> Outcome:
    """Each checkpoint from the one before and what its leaves moved: one pass over the log."""
    since = 0
    for row in reader.stream("audit_checkpoint_page", tree_size=-1):
        bad = reader.first("audit_checkpoint_fault", since=since, tree_size=row["tree_size"])
        if bad is not None:
            return bad
        since = row["tree_size"]
    return None


CHECKS: Final = (
    Check(
        number=9,
        title="balance checkpoints are sums",
        run=_remade,
        needs="balance_checkpoint",
    ),
)
