"""The whole house in one process: built by `wiring`, driven by operations and steps, no threads.

For: tests that need deals with a real history. `Play` has a verb for each thing that can happen.
Guarantees: everything goes through the engine and the worker's steps, on a real database; nothing
runs by itself, so a test decides what has happened.
Does not: speak HTTP.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from settlement.config import load
from settlement.core.api_keys import FIRST_SCOPES
from settlement.core.bids import BidTerms
from settlement.core.canonical import j_text
from settlement.core.clock import parse_time
from settlement.core.operations import (
    AutoGo,
    CreateMandate,
    Go,
    OpenDispute,
    ProofPack,
    RecordReceipt,
    Refund,
    RequestPayout,
    ResolveDispute,
    RevokeMandate,
    Settle,
    Split,
    TopUp,
)
from settlement.core.principal import ANONYMOUS, SYSTEM, Principal, PrincipalKind
from settlement.core.verification import evaluate
from settlement.edge.rails.simulated import Behaviour, SimulatedRail
from settlement.service.exchange import Wish
from settlement.service.fresh import new_id
from settlement.service.register import Profile, new_registration
from settlement.store.database import open_database
from settlement.wiring import Services, build

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from settlement.core.clock import Clock


PROOF_DATA = {"preview_url": "https://example.org/preview"}
NOW = "2026-01-01T00:00:00.000000Z"


class SteppingClock:
    """A clock that moves a millisecond with every look, and further when told to."""

    def __init__(self, start: str = NOW) -> None:
        self._now_us = self._start_us = parse_time(start)

    def now_us(self) -> int:
        """The time, which then moves on."""
        self._now_us += 1_000
        return self._now_us

    def uptime(self) -> tuple[str, int]:
        """The machine's: as old as the time that has passed on this clock."""
        return "stepping", self._now_us - self._start_us

    def set_by(self, seconds: int) -> None:
        """Somebody sets the clock: what is stamped is off by that, what waits waits as long."""
        self._now_us += seconds * 1_000_000
        self._start_us += seconds * 1_000_000

    def advance(self, seconds: int) -> None:
        """Let time pass, for what is stamped and for what waits."""
        self._now_us += seconds * 1_000_000


@contextmanager
def house(
    directory: Path, database: str, clock: Clock | None = None, **settings: str
) -> Iterator[Services]:
    """Services over a migrated database, engine and loops not started."""
    env = {
        "SETTLEMENT_DATABASE": database,
        "SETTLEMENT_SIGNING_KEY_FILE": str(directory / "keys" / "log_signing.key"),
        "SETTLEMENT_CHECKPOINT_FILE": str(directory / "checkpoint.json"),
        "SETTLEMENT_RAIL_DIR": str(directory / "rail"),
        "SETTLEMENT_BACKUP_DIR": str(directory / "backups"),
        "SETTLEMENT_AUDIT_FILE": str(directory / "audit.json"),
        **settings,
    }
    db = open_database(database)
    db.migrate()
    db.close()
    if isinstance(clock, SteppingClock):
        services = build(load(env), clock, clock.uptime)
    else:
        services = build(load(env), clock)
    try:
        yield services
    finally:
        services.close()


class Play:
    """Lets things happen in a house."""

    def __init__(self, services: Services) -> None:
        self.services = services
        rail = services.rails["simulated"]
        assert isinstance(rail, SimulatedRail)
        self.rail = rail

    def agent(self, name: str) -> Principal:
        """Register an agent."""
        made = new_registration(ANONYMOUS, Profile(name=name), now=NOW)
        self._do(made.operation)
        return Principal(
            kind=PrincipalKind.AGENT,
            agent_id=made.operation.agent.agent_id,
            name=name,
            scopes=frozenset(FIRST_SCOPES),
        )

    def proof(
        self,
        seller: Principal,
        price_minor: int = 10_000,
        policy: str = "[]",
        deal_id: str | None = None,
    ) -> dict[str, Any]:
        """A proof pack, of a new deal unless one is named; its result and its quote."""
        assert seller.agent_id is not None
        quote_id = "quote_" + secrets.token_hex(16)
        result = self._do(
            ProofPack(
                principal=seller,
                deal_id=deal_id,
                new_deal_id=new_id("deal_"),
                quote_id=quote_id,
                agent_username=seller.agent_id,
                vertical="marketing",
                sku_id="landing_page",
                proof_type="landing_preview",
                proof_data=dict(PROOF_DATA),
                proof_data_text=j_text(dict(PROOF_DATA)),
                scope_summary="Landing page",
                price_minor=price_minor,
                policy=policy,
            )
        )
        return {**result, "quote_id": quote_id}

    def receipt(self, deal: dict[str, Any], by: Principal = SYSTEM) -> dict[str, Any]:
        """A provider's verdict on the deal's proof."""
        return self._do(
            RecordReceipt(
                principal=by,
                deal_id=deal["deal_id"],
                proof_hash=deal["proof_hash"],
                proof_type="landing_preview",
                verdict=evaluate(None, "landing_preview", dict(PROOF_DATA)),
            )
        )

    def go(
        self, deal: dict[str, Any], buyer: Principal, amount_minor: int | None = None
    ) -> dict[str, Any]:
        """The buyer approves."""
        return self._do(
            Go(
                principal=buyer,
                deal_id=deal["deal_id"],
                quote_id=deal["quote_id"],
                scope_lock_hash=deal["scope_lock_hash"],
                amount_minor=amount_minor,
            )
        )

    def mandate(self, buyer: Principal, reserve_minor: int | None = None) -> dict[str, Any]:
        """The buyer lets marketing up to 200.00 be approved."""
        return self._do(
            CreateMandate(
                principal=buyer,
                mandate_id=new_id("mnd_"),
                buyer_id=str(buyer.agent_id),
                asset="USD/2",
                max_amount_minor=20_000,
                allowed_verticals='["marketing"]',
                confidence_threshold="0.8",
                reserve_minor=reserve_minor,
            )
        )

    def auto_go(
        self, deal: dict[str, Any], by: Principal, mandate: dict[str, Any]
    ) -> dict[str, Any]:
        """A mandate approves, or says why not."""
        return self._do(
            AutoGo(
                principal=by,
                deal_id=deal["deal_id"],
                quote_id=deal["quote_id"],
                mandate_id=mandate["mandate_id"],
                candidates=(mandate["mandate_id"],),
            )
        )

    def revoke(self, mandate: dict[str, Any], by: Principal) -> dict[str, Any]:
        """The buyer ends a mandate."""
        return self._do(RevokeMandate(principal=by, mandate_id=mandate["mandate_id"]))

    def settle(
        self,
        deal: dict[str, Any],
        seller: Principal,
        splits: Sequence[tuple[Principal, str]] = (),
        sent_key: str | None = None,
    ) -> dict[str, Any]:
        """The seller settles; the rail is asked by the next `work`."""
        parts = tuple(
            Split(agent_id=str(payee.agent_id), role="payee", share=share)
            for payee, share in splits
        )
        return self._do(
            Settle(
                principal=seller, deal_id=deal["deal_id"], splits=parts or None, sent_key=sent_key
            )
        )

    def payout(self, deal: dict[str, Any], payee: Principal) -> dict[str, Any]:
        """The payee asks for the net."""
        return self._do(
            RequestPayout(principal=payee, deal_id=deal["deal_id"], agent_id=str(payee.agent_id))
        )

    def intent(self, client: Principal, budget_minor: int = 10_000) -> dict[str, Any]:
        """A keyed intent."""
        wish = Wish(
            client_id=None,
            capability="marketing",
            requirements="null",
            budget_minor=budget_minor,
            deadline_hours=24,
        )
        return self._do(self.services.exchange.new_intent(client, None, wish))

    def bid(
        self,
        intent: dict[str, Any],
        bidder: Principal,
        price_minor: int,
        sent_key: str | None = None,
        message: str = "",
    ) -> dict[str, Any]:
        """A sealed bid by the bidder's key; with its nonce."""
        terms = BidTerms(
            asset=intent["asset"], delivery_hours=12, message=message, price_minor=price_minor
        )
        sealed = self.services.exchange.new_bid(
            bidder, sent_key, intent["intent_id"], str(bidder.agent_id), terms
        )
        return {**self._do(sealed.operation), "nonce": sealed.nonce}

    def close(self, intent: dict[str, Any], by: Principal) -> dict[str, Any]:
        """Close an intent; the same again answers the same."""
        return self._do(self.services.exchange.new_close(by, None, intent["intent_id"]))

    def refund(
        self, deal: dict[str, Any], by: Principal, amount_minor: int | None = None, key: str = "r1"
    ) -> dict[str, Any]:
        """Money goes back; a rail is asked by the next `work`."""
        return self._do(
            Refund(principal=by, sent_key=key, deal_id=deal["deal_id"], amount_minor=amount_minor)
        )

    def topup(self, agent: Principal, amount_minor: int, key: str = "t1") -> dict[str, Any]:
        """An agent puts money on its balance; in sandbox the next `work` asks the rail for it."""
        return self._do(
            TopUp(
                principal=agent,
                sent_key=key,
                topup_id=new_id("topup_"),
                agent_id=str(agent.agent_id),
                asset="USD/2",
                amount_minor=amount_minor,
            )
        )

    def dispute(self, deal: dict[str, Any], by: Principal) -> dict[str, Any]:
        """A party asks for a ruling."""
        return self._do(OpenDispute(principal=by, deal_id=deal["deal_id"]))

    def rule(self, deal: dict[str, Any], seller_ppm: int) -> dict[str, Any]:
        """An operator's ruling; a rail is asked by the next `work`."""
        return self._do(
            ResolveDispute(principal=SYSTEM, deal_id=deal["deal_id"], seller_ppm=seller_ppm)
        )

    def misbehave(self, does: str, match: str) -> None:
        """Tell the rail what to do with calls that match."""
        self.rail.program([Behaviour(does=does, match=match)])

    def behave(self) -> None:
        """Let the rail do what it is asked again."""
        self.rail.program([])

    def work(self) -> None:
        """Let the worker do all there is to do now."""
        while self.services.effects.step():
            pass
        while self.services.outbox.step():
            pass
        while self.services.sequencer.run_once():
            pass

    def sign(self) -> None:
        """Sign a tree head over everything so far."""
        self.services.sequencer.sign()

    def _do(self, operation: Any) -> dict[str, Any]:
        return dict(self.services.engine.execute(operation).unwrap())
