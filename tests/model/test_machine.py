"""A machine that does what callers, rails and operators do, in any order, on a real database.

After every step an auditor that keeps its own books (tests/support/books.py) has seen each commit;
at the end the system's own audit runs, and the rail's book must show one movement per obligation
that our books confirm. The same machine runs on SQLite and PostgreSQL, closed and opened midway.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from settlement.core.errors import Corrupt, PaymentRefused
from settlement.core.operations import (
    AutoGo,
    Cancel,
    CreateMandate,
    Go,
    OpenDispute,
    RecordPayment,
    Refund,
    RequestPayout,
    ResolveDispute,
    RevokeMandate,
    Settle,
    Split,
    TopUp,
)
from settlement.core.principal import ANONYMOUS, SYSTEM
from settlement.service.audit import run_audit
from settlement.service.audit_base import AuditContext
from settlement.service.checkpoint_file import CheckpointFile
from settlement.service.effects import ASK_MAX_SECONDS
from settlement.service.fresh import new_id
from settlement.signing import verify_ed25519
from tests.support.books import Books, Mistake
from tests.support.house import Play, SteppingClock, house
from tests.support.postgres import fresh_database

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.writeset import WriteSet
    from settlement.service.answers import Answer
    from settlement.wiring import Services
    from tests.support.postgres import PostgresServer

# Mostly what leads on, so that most lives get somewhere; now and then what does not.
AMOUNTS = st.sampled_from([None, None, None, None, 29, 30, 5_000, 10_000, 12_345])
SELLS = st.sampled_from([0, 0, 0, 0, 1, 2])
BUYS = st.sampled_from([1, 1, 1, 1, 0, 2, 3])
ALLOWS = st.sampled_from([1, 1, 2, 0])
DEALS_MAX = 3
MANDATES_MAX = 3
SHARES = st.sampled_from([("1",), ("0.5", "0.5"), ("0.333333", "0.333333", "0.333334")])
Deal = dict[str, Any]


class Machine(RuleBasedStateMachine):
    """Deals in one house. Refusals are fine; a fault of the server is not."""

    server: ClassVar[PostgresServer | None] = None
    deals = Bundle("deals")

    @initialize(target=deals, reached=st.sampled_from([0, 1, 1, 2]))
    def open(self, reached: int) -> Any:
        """A house and its first deal: quoted, settled, or paid out; else few lives get that far."""
        self.directory = Path(tempfile.mkdtemp(prefix="settlement-model-"))
        self.outer = ExitStack()
        self.url = f"sqlite:///{self.directory}/model.db"
        if self.server is not None:
            self.url = self.outer.enter_context(fresh_database(self.server, label="model"))
        self.clock = None if self.server is not None else SteppingClock()
        self.books = Books()
        self.mistakes: list[Mistake] = []
        self.inner = ExitStack()
        self._enter()
        self.people = [self.play.agent(name) for name in ("seller", "buyer", "helper")]
        self.proved = 1
        self.payments = 0
        self.paid: dict[str, tuple[str, int]] = {}  # charge -> deal and amount, once booked
        self.taken: dict[str, Settle] = {}  # deal -> the last settle that was taken
        self.mandates: list[tuple[int, str]] = []  # whose, and which
        self.left: dict[str, int] = {}  # mandate -> what is left of its reserve
        self.settled: dict[str, tuple[Settle, str]] = {}  # deal -> who settled it, and its tx
        self.drawn: dict[str, str] = {}  # deal -> the mandate whose reserve paid it
        self.turned: set[str] = set()  # deals whose way a refund, dispute or cancel may have ended
        self.was_set = False
        self.asked = 0  # refunds and top-ups so far
        deal = self.play.proof(self.people[0])
        if reached:
            self.play.go(deal, self.people[1])
            operation = Settle(principal=self.people[0], deal_id=deal["deal_id"])
            self._settle(operation)
            self.play.work()
            self._settle(operation)
        if reached == 2:
            self.pay_out(deal=deal, who=0)
            self.play.work()
        return deal

    def _enter(self) -> None:
        self.services: Services = self.inner.enter_context(
            house(self.directory, self.url, self.clock)
        )
        self.services.engine.add_listener(self._observe)
        self.play = Play(self.services)

    def _observe(self, writes: WriteSet) -> None:
        """Keep what the auditor finds: the engine survives its listeners, and would hide it."""
        try:
            self.books.observe(writes)
        except Mistake as mistake:
            self.mistakes.append(mistake)

    def _try(self, operation: Any) -> Answer:
        answer = self.services.engine.execute(operation)
        if answer.error is not None:
            assert not isinstance(answer.error, Corrupt), answer.error
        return answer

    def _settle(self, operation: Settle) -> None:
        answer = self._try(operation)
        # One that is taken anew follows a refused charge, and stands from then on.
        if answer.error is None and not answer.replayed:
            self.taken[operation.deal_id] = operation
        if answer.error is None and answer.result is not None and not answer.running:
            tx_id = answer.result["tx_id"]
            _, first = self.settled.setdefault(operation.deal_id, (operation, tx_id))
            assert tx_id == first, "a deal settles once"

    # --- what callers do -------------------------------------------------------------------------

    @precondition(lambda self: self.proved < DEALS_MAX)
    @rule(target=deals, price=st.sampled_from([30, 5_000, 10_000]))
    def prove(self, price: int) -> Any:
        self.proved += 1
        return self.play.proof(self.people[0], price)

    @rule(deal=deals, buyer=BUYS, amount=AMOUNTS)
    def approve(self, deal: Deal, buyer: int, amount: int | None) -> None:
        self._try(
            Go(
                principal=ANONYMOUS if buyer == 3 else self.people[buyer],
                deal_id=deal["deal_id"],
                quote_id=deal["quote_id"],
                scope_lock_hash=deal["scope_lock_hash"],
                amount_minor=amount,
            )
        )

    @rule(deal=deals, who=SELLS, amount=AMOUNTS, key=st.sampled_from([None, "k1", "k2"]))
    def settle(self, deal: Deal, who: int, amount: int | None, key: str | None) -> None:
        self._settle(
            Settle(
                principal=self.people[who],
                deal_id=deal["deal_id"],
                amount_minor=amount,
                actor_id=self.people[who].agent_id,
                sent_key=key,
            )
        )

    @rule(deal=deals, shares=SHARES)
    def settle_among_several(self, deal: Deal, shares: tuple[str, ...]) -> None:
        splits = tuple(
            Split(agent_id=str(payee.agent_id), role="payee", share=share)
            for payee, share in zip(self.people, shares, strict=False)
        )
        self._settle(Settle(principal=self.people[0], deal_id=deal["deal_id"], splits=splits))

    @rule(deal=deals)
    def settle_once_more(self, deal: Deal) -> None:
        operation = self.taken.get(deal["deal_id"])
        if operation is None:
            return
        known = self.settled.get(operation.deal_id)
        answer = self._try(operation)
        if known is None and operation.deal_id in self.turned:
            return
        # A refused charge lets it start again, but for the key it was sent under, which keeps the
        # refusal; otherwise it is answered, or still runs.
        if isinstance(answer.error, PaymentRefused):
            assert operation.sent_key is not None
            return
        assert answer.error is None, answer.error
        if known is not None:
            assert answer.replayed, "a settle that was answered is answered again"
            assert answer.result is not None
            assert answer.result["tx_id"] == known[1]

    @rule(deal=deals, who=SELLS)
    def pay_out(self, deal: Deal, who: int) -> None:
        payee: Principal = self.people[who]
        self._try(
            RequestPayout(principal=payee, deal_id=deal["deal_id"], agent_id=str(payee.agent_id))
        )

    # --- what buyers allow -----------------------------------------------------------------------

    @precondition(lambda self: len(self.mandates) < MANDATES_MAX)
    @rule(buyer=ALLOWS, reserve=st.sampled_from([None, 30, 40, 4_000]))
    def allow(self, buyer: int, reserve: int | None) -> None:
        who = self.people[buyer]
        answer = self._try(
            CreateMandate(
                principal=who,
                mandate_id=new_id("mnd_"),
                buyer_id=str(who.agent_id),
                asset="USD/2",
                max_amount_minor=5_000,
                allowed_verticals='["marketing"]',
                confidence_threshold="0",
                reserve_minor=reserve,
            )
        )
        if answer.result is not None:
            mandate_id = answer.result["mandate_id"]
            self.mandates.append((buyer, mandate_id))
            self.left[mandate_id] = reserve or 0

    @precondition(lambda self: self.mandates)
    @rule(deal=deals, at=st.integers(0, 9), by=BUYS)
    def approve_by_mandate(self, deal: Deal, at: int, by: int) -> None:
        _, mandate_id = self.mandates[at % len(self.mandates)]
        answer = self._try(
            AutoGo(
                principal=ANONYMOUS if by == 3 else self.people[by],
                deal_id=deal["deal_id"],
                quote_id=deal["quote_id"],
                mandate_id=mandate_id,
                candidates=(mandate_id,),
            )
        )
        if answer.result is None or answer.replayed:
            return
        drawn = answer.result["reserve_drawn_minor"]
        if answer.result["decision"] != "go_approved" or by == 3:
            assert not drawn, "only an approval under a key is paid from a reserve"
        self.left[mandate_id] -= drawn
        if drawn:
            self.drawn[deal["deal_id"]] = mandate_id
        assert self.left[mandate_id] >= 0, "spent more than was put aside"

    @precondition(lambda self: self.mandates)
    @rule(at=st.integers(0, 9), by=ALLOWS)
    def revoke(self, at: int, by: int) -> None:
        owner, mandate_id = self.mandates[at % len(self.mandates)]
        op = RevokeMandate(principal=self.people[by], mandate_id=mandate_id)
        answer = self._try(op)
        assert (answer.error is None) == (by == owner), "a mandate is its buyer's to end"
        if answer.result is not None:
            assert answer.result["returned_minor"] == self.left[mandate_id]
            self.left[mandate_id] = 0

    # --- money that goes back, and comes --------------------------------------------------------

    @precondition(lambda self: self.settled or self.paid)
    @rule(
        at=st.integers(0, 9),
        by=st.sampled_from([0, 0, 0, 3, 3, 1]),
        amount=st.sampled_from([None, 30, 2_000]),
    )
    def refund(self, at: int, by: int, amount: int | None) -> None:
        self.asked += 1
        funded = [*dict.fromkeys([*self.settled, *(one for one, _ in self.paid.values())])]
        deal = {"deal_id": funded[at % len(funded)]}
        owed_before = self._owed_to_us()
        answer = self._try(
            Refund(
                principal=SYSTEM if by == 3 else self.people[by],
                sent_key=f"back_{self.asked}",
                deal_id=deal["deal_id"],
                amount_minor=amount,
            )
        )
        if answer.result is not None:
            assert by != 1, "buyers refund nothing"
            assert by == 3 or self._owed_to_us() == owed_before, "sellers give back their own"
            self._turn(deal, [answer.result])

    def _owed_to_us(self) -> int:
        return -sum(
            minor for ref, minor in self.books.posted.items() if ref.startswith("receivable:")
        )

    @rule(deal=deals, by=st.sampled_from([0, 1]))
    def dispute(self, deal: Deal, by: int) -> None:
        answer = self._try(OpenDispute(principal=self.people[by], deal_id=deal["deal_id"]))
        if answer.result is not None:
            self._turn(deal, [])

    @rule(deal=deals, seller_ppm=st.sampled_from([0, 333_333, 500_000, 1_000_000]))
    def decide(self, deal: Deal, seller_ppm: int) -> None:
        answer = self._try(
            ResolveDispute(principal=SYSTEM, deal_id=deal["deal_id"], seller_ppm=seller_ppm)
        )
        if answer.result is not None and not answer.replayed:
            self._turn(deal, answer.result["refunds"])

    @rule(deal=deals, by=SELLS, sure=st.sampled_from([False, False, True]))
    def cancel(self, deal: Deal, by: int, *, sure: bool) -> None:
        if not sure:
            return
        answer = self._try(Cancel(principal=self.people[by], deal_id=deal["deal_id"]))
        if answer.result is not None:
            self._turn(deal, [])

    def _turn(self, deal: Deal, refunds: list[dict[str, Any]]) -> None:
        """What went back to a reserve is there to be spent or returned again."""
        self.turned.add(deal["deal_id"])
        for refund in refunds:
            if refund["source"] == "mandate":
                self.left[self.drawn[deal["deal_id"]]] += refund["amount_minor"]

    @rule(who=BUYS, amount=st.sampled_from([30, 5_000]))
    def top_up(self, who: int, amount: int) -> None:
        self.asked += 1
        agent = self.people[who % 3]
        answer = self._try(
            TopUp(
                principal=agent,
                sent_key=f"top_{self.asked}",
                topup_id=new_id("topup_"),
                agent_id=str(agent.agent_id),
                asset="USD/2",
                amount_minor=amount,
            )
        )
        assert answer.error is None, answer.error

    # --- what rails and operators do -------------------------------------------------------------

    @rule(deal=deals, amount=st.sampled_from([30, 5_000, 10_000]), again=st.booleans())
    def pay_in(self, deal: Deal, amount: int, *, again: bool) -> None:
        self.payments += not again
        charge = f"ch_{self.payments}"
        answer = self._try(
            RecordPayment(
                principal=SYSTEM,
                deal_id=deal["deal_id"],
                amount_minor=amount,
                rail="simulated",
                rail_ref=charge,
                message_id=f"msg_{self.payments}",
            )
        )
        told = (deal["deal_id"], amount)
        if charge in self.paid:
            assert answer.replayed or answer.error is not None, "a charge is booked once"
            assert (answer.error is None) == (self.paid[charge] == told)
        elif answer.error is None:
            self.paid[charge] = told

    @rule(does=st.sampled_from(["ok", "decline", "charge_then_silence"]), deal=deals)
    def the_rail_will(self, does: str, deal: Deal) -> None:
        if does == "ok":
            self.play.behave()
        else:
            self.play.misbehave(does, deal["deal_id"])

    @rule()
    def work(self) -> None:
        self.play.work()

    @precondition(lambda self: self.clock is not None)
    @rule(seconds=st.sampled_from([1, 10, 400, 90_000]))
    def time_passes(self, seconds: int) -> None:
        assert self.clock is not None
        self.clock.advance(seconds)

    @precondition(lambda self: self.clock is not None)
    @rule(seconds=st.sampled_from([-3_600, 3_600]))
    def somebody_sets_the_clock(self, seconds: int) -> None:
        assert self.clock is not None
        self.clock.set_by(seconds)
        self.was_set = True

    @rule()
    def the_process_ends_and_starts(self) -> None:
        self.inner.close()
        self.inner = ExitStack()
        self._enter()

    def _context(self) -> AuditContext:
        signer = self.services.signer
        assert signer is not None
        return AuditContext(
            public_keys={signer.key_id: signer.public_key},
            verify=verify_ed25519,
            checkpoint=CheckpointFile(self.services.settings.checkpoint_file).read(),
        )

    # --- what must hold --------------------------------------------------------------------------

    @invariant()
    def the_books_are_those_of_the_auditor(self) -> None:
        if hasattr(self, "books"):
            assert not self.mistakes, self.mistakes
            self.books.close()

    def teardown(self) -> None:
        if not hasattr(self, "books"):
            return
        try:
            self.play.behave()
            self.play.work()
            if self.clock is not None:
                self.clock.advance(ASK_MAX_SECONDS)  # by then every rail has been asked again
                self.play.work()
            moved = Counter(
                entry.rail_key for entry in self.play.rail.entries() if entry.state == "charged"
            )
            assert not moved or max(moved.values()) == 1, "charged twice under one key"
            report = run_audit(self.services.db, self._context())
            # 17 names deals that were paid too much, whose escrow waits for a refund; 33 names what
            # debtors owe, for more has gone back than came in; 46 compares the times of calls and
            # keys, which says nothing once the clock they were taken from was set.
            excused = (17, 33, 46) if self.was_set else (17, 33)
            failed = [finding for finding in report.failed() if finding.number not in excused]
            assert not failed, [(one.number, one.first_bad) for one in failed]
        finally:
            self.inner.close()
            self.outer.close()
            shutil.rmtree(self.directory, ignore_errors=True)


def _run(machine: type[Machine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_no_order_of_events_breaks_the_books(kind: str, request: pytest.FixtureRequest) -> None:
    """Catches a second settlement, a charge sent twice, an overdraft, a claim lost at a restart.

    Tried with a look-up that ignores derived claims, a wrong running volume, and decisions
    stamped by the clock alone.
    """
    server = request.getfixturevalue("postgres_server") if kind == "postgres" else None
    _run(type("Run", (Machine,), {"server": server}), 25 if kind == "sqlite" else 8)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_no_order_of_events_breaks_the_books_for_long(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """The same with many more lives."""
    server = request.getfixturevalue("postgres_server") if kind == "postgres" else None
    _run(type("Run", (Machine,), {"server": server}), 150 if kind == "sqlite" else 60)
