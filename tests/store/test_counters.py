"""The counters of guarded accounts: always the sums of the transfers, however they were written."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from settlement.core.rows import Phase
from settlement.core.writeset import WriteSet
from tests.store.make import LATER, Story, account
from tests.support.raw import open_raw

if TYPE_CHECKING:
    from settlement.core import rows
    from settlement.store.database import Database
    from tests.support.raw import Raw

SUMS = """
SELECT a.ref, a.debits_posted, a.credits_posted, a.debits_held, a.credits_held, a.version,
  (SELECT coalesce(sum(amount_minor), 0) FROM transfer
   WHERE debit_ref = a.ref AND phase IN ('final', 'post')),
  (SELECT coalesce(sum(amount_minor), 0) FROM transfer
   WHERE credit_ref = a.ref AND phase IN ('final', 'post')),
  (SELECT coalesce(sum(amount_minor), 0) FROM transfer AS h WHERE debit_ref = a.ref
   AND phase = 'hold' AND NOT EXISTS (SELECT 1 FROM transfer WHERE hold_id = h.transfer_id)),
  (SELECT coalesce(sum(amount_minor), 0) FROM transfer AS h WHERE credit_ref = a.ref
   AND phase = 'hold' AND NOT EXISTS (SELECT 1 FROM transfer WHERE hold_id = h.transfer_id)),
  (SELECT count(*) FROM transfer WHERE debit_ref = a.ref OR credit_ref = a.ref)
FROM account AS a WHERE a.guard <> 'none' ORDER BY a.ref
"""
UNGUARDED = "SELECT count(*) FROM account WHERE guard = 'none' AND version <> 0"


@dataclass(slots=True)
class Walk:
    """A random sequence of transfers that are all allowed, on accounts of its own."""

    prefix: str
    seed: int
    story: Story = field(default_factory=Story)
    available: dict[str, int] = field(default_factory=dict)
    open_holds: list[rows.Transfer] = field(default_factory=list)

    def start(self) -> WriteSet:
        self.story.prefix = self.prefix
        agents = [f"agent_{self.prefix}{n}" for n in range(3)]
        writes = self.story.world(*agents)
        writes.accounts_new = writes.accounts_new[:3]
        writes.extend(self.story.funded(f"deal_{self.prefix}", agents[0], 5_000))
        self.available = {f"entity:{agent}": 0 for agent in agents}
        return writes

    def steps(self, count: int) -> list[WriteSet]:
        choose = random.Random(self.seed)
        return [self.step(choose) for _ in range(count)]

    def step(self, choose: random.Random) -> WriteSet:
        event = self.story.event(f"deal_{self.prefix}", "X")
        tx = self.story.tx(event)
        agent_id = choose.choice(sorted(self.available)).removeprefix("entity:")
        agent = account("agent", agent_id)
        verbs = ["topup", "hold", "fund", "resolve"]
        transfer = getattr(self, choose.choice(verbs))(choose, tx, agent) or self.topup(
            choose, tx, agent
        )
        deal = self.story.deals[f"deal_{self.prefix}"]
        return WriteSet(events=[event], txs=[tx], transfers=[transfer], deals_changed=[deal])

    def topup(self, choose: random.Random, tx: rows.LedgerTx, agent: rows.Account) -> rows.Transfer:
        amount = choose.randint(1, 1_000)
        self.available[agent.ref] += amount
        return self.story.transfer(tx, "topup", amount, account("clearing", "simulated"), agent)

    def fund(
        self, choose: random.Random, tx: rows.LedgerTx, agent: rows.Account
    ) -> rows.Transfer | None:
        amount = self.spend(choose, agent)
        escrow = account("escrow", f"deal_{self.prefix}")
        return amount and self.story.transfer(tx, "escrow_fund", amount, agent, escrow)  # type: ignore[return-value]  # 0: none

    def hold(
        self, choose: random.Random, tx: rows.LedgerTx, agent: rows.Account
    ) -> rows.Transfer | None:
        amount = self.spend(choose, agent)
        if not amount:
            return None
        transit = account("payout_transit", "simulated")
        made = self.story.transfer(
            tx, "payout", amount, agent, transit, phase=Phase.HOLD, expires_at=LATER
        )
        self.open_holds.append(made)
        return made

    def resolve(
        self, choose: random.Random, tx: rows.LedgerTx, agent: rows.Account
    ) -> rows.Transfer | None:
        if not self.open_holds:
            return None
        hold = self.open_holds.pop(choose.randrange(len(self.open_holds)))
        phase = choose.choice([Phase.POST, Phase.VOID, Phase.EXPIRE])
        amount = hold.amount_minor
        if phase == Phase.POST:
            amount = choose.randint(1, amount)
            self.available[hold.debit_ref] += hold.amount_minor - amount
        else:
            self.available[hold.debit_ref] += amount
        debit = account("agent", hold.debit_ref.removeprefix("entity:"))
        transit = account("payout_transit", "simulated")
        return self.story.transfer(
            tx, hold.kind, amount, debit, transit, phase=phase, hold_id=hold.transfer_id,
            booked_at=LATER,
        )  # fmt: skip

    def spend(self, choose: random.Random, agent: rows.Account) -> int:
        limit = self.available[agent.ref]
        amount = choose.randint(1, limit) if limit else 0
        self.available[agent.ref] -= amount
        return amount


def counters(raw: Raw, prefix: str) -> list[tuple[object, ...]]:
    found = [row for row in raw.rows(SUMS) if prefix in row[0]]
    return [(row[0].replace(prefix, ""), *row[1:6]) for row in found]


@pytest.mark.parametrize("seed", range(5))
def test_counters_are_sums_however_the_rows_are_batched(
    db: Database, database_url: str, seed: int
) -> None:
    """The same walk three times: a transfer a statement, a few at a time, and all in one."""
    db.transaction(lambda tx: tx.write(Story(prefix="house").world()))
    walks = {size: Walk(prefix=f"p{size}q", seed=seed) for size in (1, 7, 60)}
    for size, walk in walks.items():
        first = walk.start()
        db.transaction(lambda tx, first=first: tx.write(first))  # type: ignore[misc]  # bound now
        steps = walk.steps(60)
        for start in range(0, len(steps), size):
            batch = WriteSet()
            for step in steps[start : start + size]:
                batch.extend(step)
            db.transaction(lambda tx, batch=batch: tx.write(batch))  # type: ignore[misc]  # bound now
    with open_raw(database_url) as raw:
        for row in raw.rows(SUMS):
            assert tuple(map(int, row[1:6])) == tuple(map(int, row[6:])), row[0]
        assert raw.rows(UNGUARDED) == [(0,)]
        found = [counters(raw, walk.prefix) for walk in walks.values()]
        assert found[0] == found[1] == found[2]
        left = {row[0]: row[2] - row[1] - row[3] for row in raw.rows(SUMS)}
        for walk in walks.values():
            assert {ref: left[ref] for ref in walk.available} == walk.available
