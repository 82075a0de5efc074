"""The happy paths of every operation, and what they leave: events, money, parties, answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.api_keys import ApiKey
from settlement.core.operations import (
    RecordCharge,
    RecordPayout,
    Register,
    RequestPayout,
    Split,
)
from settlement.core.principal import SYSTEM
from settlement.core.proof_rows import PACKS_BYTES_MAX, PACKS_MAX
from settlement.core.rows import DealState, EffectKind, EffectState
from tests.support.world import (
    BUYER,
    CONFIRMED,
    HELPER,
    NOBODY,
    QUOTE,
    REFUSED,
    SELLER,
    STRANGER,
    UNKNOWN,
    World,
    agent,
    key_of,
    new_world,
    refuses,
)

if TYPE_CHECKING:
    from settlement.core.operations import RailOutcome

HAPPY = [
    "PROOF_READY",
    "GO_APPROVED",
    "PAYMENT_AUTHORIZED",
    "SETTLED",
    "OUTCOME_RECORDED",
    "PAYOUT_INITIATED",
    "PAYOUT_CONFIRMED",
]


def charge(world: World, outcome: RailOutcome, fence: int = 7) -> dict[str, Any]:
    effect_id = world.sent(world.open_effect())
    return answer_charge(world, effect_id, outcome, fence)


def answer_charge(
    world: World, effect_id: str, outcome: RailOutcome, fence: int = 7
) -> dict[str, Any]:
    deal_id = world.effects[effect_id].deal_id
    return world.run(
        RecordCharge(
            principal=SYSTEM, effect_id=effect_id, deal_id=deal_id, fence=fence, outcome=outcome
        )
    )


def payout(world: World, agent_id: str = SELLER, **members: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "principal": key_of(agent_id),
        "deal_id": "deal_1",
        "agent_id": agent_id,
    }
    return world.run(RequestPayout(**{**given, **members}))


def answer_payout(world: World, outcome: RailOutcome) -> dict[str, Any]:
    effect_id = world.sent(world.open_effect())
    return world.run(
        RecordPayout(
            principal=SYSTEM, effect_id=effect_id, deal_id="deal_1", fence=7, outcome=outcome
        )
    )


def settled_world(**rules: Any) -> World:
    world = new_world(**rules)
    world.pack()
    world.go()
    world.pay()
    world.settle()
    return world


class TestTheHappyChain:
    def test_events_come_in_the_documented_order(self) -> None:
        """Catches a build that pays before it authorises, or records the outcome first."""
        world = settled_world()
        payout(world)
        answer_payout(world, CONFIRMED)
        assert world.types() == HAPPY

    def test_money_in_is_money_out(self) -> None:
        """Catches a build that keeps a leg, or pays gross instead of net."""
        world = settled_world()
        payout(world)
        answer_payout(world, CONFIRMED)
        posted = world.books.posted
        assert posted["escrow:deal_1"] == 0
        assert posted[f"entity:{SELLER}"] == 0
        assert posted["fee_protocol:platform"] == 305
        # 9900 came in through clearing, 9595 went out through it again.
        assert posted["clearing:simulated"] == -9900 + 9595

    def test_one_settle_answers_both_published_forms(self) -> None:
        world = new_world()
        world.pack()
        world.go()
        world.pay()
        result = world.settle()
        assert result | {"tx_id": "", "settled_at": ""} == {
            "deal_id": "deal_1",
            "asset": "USD/2",
            "gross_minor": 9900,
            "platform_fee_minor": 0,
            "protocol_fee_minor": 305,
            "net_minor": 9595,
            "gross_amount_minor": 9900,
            "net_to_recipient_minor": 9595,
            "from_agent": BUYER,
            "to_agent": SELLER,
            "provider": "simulated",
            "fee_tier": "base",
            "splits": [
                {
                    "agent_id": SELLER,
                    "role": "seller",
                    "share": "1",
                    "gross_amount_minor": 9900,
                    "fee_amount_minor": 305,
                    "net_amount_minor": 9595,
                }
            ],
            "status": "settled",
            "events_emitted": ["SETTLED", "OUTCOME_RECORDED"],
            "tx_id": "",
            "settled_at": "",
            "payouts": [],
        }
        deal = world.deals["deal_1"]
        assert (deal.state, deal.settled_at) == (DealState.SETTLED, result["settled_at"])

    def test_parties_are_bound_by_what_they_do(self) -> None:
        world = settled_world()
        assert {(a, r) for d, a, r in world.parties if d == "deal_1"} == {
            (SELLER, "seller"),
            (BUYER, "buyer"),
        }


class TestRegister:
    def test_agent_key_and_event_are_one_commit(self) -> None:
        world = new_world()
        newcomer = agent("agent_" + "9" * 32, name="Ann Newcomer")
        key = ApiKey(
            key_prefix="a2a_" + "0" * 16,
            key_id="key_" + "9" * 32,
            agent_id=newcomer.agent_id,
            name="first",
            digest="0" * 64,
            scopes="[]",
            status="active",
            created_at="",
            expires_at=None,
            grace_until=None,
            rotated_from=None,
            revoked_at=None,
        )
        op = Register(principal=NOBODY, agent=newcomer, key=key, sent_key="k")
        result = world.run(op)
        assert result["registered_at"] == world.agents[newcomer.agent_id].created_at
        assert op.call().sent_key is None
        (event,) = world.books.chains["sys_" + newcomer.agent_id]
        assert event.event_type == "AGENT_REGISTERED"
        assert "Newcomer" not in event.payload, "free text only as its hash"


class TestProofPack:
    def test_a_keyless_pack_makes_an_open_deal(self) -> None:
        world = new_world()
        world.pack(principal=NOBODY, agent_username="somebody")
        deal = world.deals["deal_1"]
        assert (deal.open, deal.seller_id, deal.seller_label) == (1, None, "somebody")
        assert world.payload("PROOF_READY")["authority"] == "open"

    @pytest.mark.parametrize(
        ("username", "seller"), [(SELLER, SELLER), ("only one", None), ("ann", HELPER)]
    )
    def test_a_name_binds_only_the_one_agent_that_bears_it(
        self, username: str, seller: str | None
    ) -> None:
        """Catches a build that binds a label to whichever agent of that name comes first."""
        world = new_world(agents=[agent(HELPER, "ann"), agent(STRANGER, "bob")])
        world.pack(principal=NOBODY, agent_username=username.replace(" ", "_"))
        assert world.deals["deal_1"].seller_id == seller
        world.agents["agent_" + "8" * 32] = agent("agent_" + "8" * 32, "ann")
        world.pack(deal_id="deal_2", principal=NOBODY, agent_username="ann")
        assert world.deals["deal_2"].seller_id is None

    def test_the_scope_lock_hashes_the_price_as_clients_print_it(self) -> None:
        """The published vector H3-a, through the whole operation."""
        world = new_world()
        result = world.pack(
            vertical="marketing",
            sku_id="social_media",
            scope_summary="Social media package",
            policy='[{"field": "ocs_min", "op": ">=", "value": 50}]',
            proof_hash="a" * 64,
        )
        assert result["scope_lock_hash"] == "54d598d43e619bbd012e6e0777b38246"
        assert result["policy_hash"] == "8d1dd28fbe8504550c117acf"
        strong = "376f43299576d7208b066761c46d8d208d2e6d29434307bdd526a5826d0cc5f2"
        assert result["scope_digest"] == strong
        assert world.deals["deal_1"].policy.startswith("[{")

    def test_the_price_has_four_sources_in_order(self) -> None:
        """Winning bid, body, configuration, 99.00."""
        world = new_world(prices={("code", "fix"): 1234})
        assert world.pack("deal_1", price_minor=None)["estimated_price_minor"] == 9900
        configured = {"vertical": "code", "sku_id": "fix"}
        fixed = world.pack("deal_2", price_minor=None, **configured)
        assert fixed["estimated_price_minor"] == 1234
        assert world.pack("deal_3", price_minor=50, **configured)["estimated_price_minor"] == 50
        bid = world.deals["deal_3"]
        world.deals["deal_3"] = type(bid)(
            **{name: getattr(bid, name) for name in bid.__dataclass_fields__}
            | {"intent_id": "intent_1", "price_minor": 777}
        )
        again = world.pack(deal_id="deal_3", price_minor=50, **configured)
        assert again["estimated_price_minor"] == 777

    def test_a_new_pack_voids_the_old_quote(self) -> None:
        """Catches a build that leaves two quotes alive: the buyer would approve old terms."""
        world = new_world()
        world.pack()
        old = world.deals["deal_1"]
        world.pack(deal_id="deal_1", quote_id="quote_" + "8" * 32, price_minor=5000)
        assert world.deals["deal_1"].quote_digest != old.quote_digest
        assert world.proofs["deal_1"].n == 2
        assert world.go(quote_id="quote_" + "8" * 32)["amount_minor"] == 5000

    def test_a_deal_takes_so_many_packs_and_no_more(self) -> None:
        """Catches packs without end, which every public export of the deal holds in memory."""
        world = new_world()
        for _ in range(PACKS_MAX):
            world.pack(deal_id="deal_1")
        again: dict[str, Any] = {"deal_id": "deal_1"}
        refuses(world, "packs_spent", lambda: world.pack(**again))
        stranger: dict[str, Any] = {"principal": key_of(STRANGER), "agent_username": STRANGER}
        refuses(world, "party_mismatch", lambda: world.pack(**again, **stranger))
        assert world.pack("deal_2")["status"] == "proof_ready"

    def test_a_deals_packs_weigh_so_much_and_no_more(self) -> None:
        """Catches a limit of number only, or of characters where bytes are kept."""
        world = new_world()
        world.pack()
        large = json.dumps({"photo": "é" * (PACKS_BYTES_MAX // 2)}, ensure_ascii=False)
        again: dict[str, Any] = {"deal_id": "deal_1", "proof_data_text": large}
        refuses(world, "packs_spent", lambda: world.pack(**again))
        assert world.proofs["deal_1"].n == 1
        half = json.dumps({"photo": "a" * (PACKS_BYTES_MAX // 2)})
        again["proof_data_text"] = half
        world.pack(**again)
        refuses(world, "packs_spent", lambda: world.pack(**again))

    def test_parents_are_kept_and_bound_to_the_chain(self) -> None:
        world = new_world()
        result = world.pack(parent_proof_ids=("deal_0", "deal_0:abc"))
        assert result["parent_proof_ids"] == ["deal_0", "deal_0:abc"]
        assert world.payload("PROOF_READY")["parent_proof_ids"] == ["deal_0", "deal_0:abc"]

    def test_the_quote_is_nowhere_but_in_the_answer(self) -> None:
        """Catches a build that stores or publishes the bearer secret (contract §0.3)."""
        world = new_world()
        assert world.pack()["quote_id"] == QUOTE
        kept = repr((world.deals, world.events, world.books.chains))
        assert QUOTE not in kept


class TestGo:
    def test_the_fee_is_pinned_with_policy_tier_and_volume(self) -> None:
        world = new_world()
        world.pack()
        result = world.go()
        assert result["go_key"].startswith("idem_")
        pinned = world.payload("GO_APPROVED")
        deal = world.deals["deal_1"]
        assert pinned["fee_policy"] == deal.fee_policy == "discounts-1"
        assert pinned["fee_policy_hash"] == deal.fee_policy_hash
        assert (pinned["tier"], pinned["volume_minor"]) == ("base", 0)
        assert (pinned["buyer"], pinned["authority"], pinned["mandate_id"]) == (BUYER, "key", None)
        assert (deal.buyer_id, deal.approved_by, deal.approval_mode) == (BUYER, BUYER, "manual")

    def test_a_later_policy_does_not_change_an_approved_fee(self) -> None:
        """Catches a build that quotes anew at settle."""
        world = new_world()
        world.pack(price_minor=10_000)
        world.go()
        world.pay(amount_minor=10_000)
        world.rules = type(world.rules)(fee_policy="tiers-2026")
        world.fund(SELLER, 60_000_00)  # and a volume that would earn a better tier
        assert world.settle()["protocol_fee_minor"] == 308

    def test_an_amount_replaces_the_price(self) -> None:
        world = new_world()
        world.pack()
        assert world.go(amount_minor=5000)["amount_minor"] == 5000
        assert world.deals["deal_1"].gross_minor == 5000

    def test_the_quote_alone_approves_but_binds_nobody(self) -> None:
        """Catches a build that takes a claimed name for a party."""
        world = new_world()
        world.pack()
        world.go(principal=NOBODY, actor_id=BUYER)
        deal = world.deals["deal_1"]
        assert (deal.buyer_id, deal.buyer_label) == (None, BUYER)
        assert deal.approval_authority == "quote"
        assert not [role for _, _, role in world.parties if role == "buyer"]

    def test_volume_of_the_last_thirty_days_chooses_the_tier(self) -> None:
        world = new_world()
        world.fund(SELLER, 1000_00)
        world.pack(price_minor=10_000)
        assert world.go()["fee_tier"] == "1k"
        world.now_us += 30 * 86_400_000_000
        world.pack("deal_2", price_minor=10_000)
        assert world.go("deal_2")["fee_tier"] == "base"


class TestFundedSettle:
    def test_another_amount_stays_in_escrow(self) -> None:
        """Catches a build that releases an overpayment to the seller."""
        world = new_world()
        world.pack()
        world.go()
        world.pay(amount_minor=12_000)
        world.settle()
        assert world.books.posted["escrow:deal_1"] == 2100
        assert world.books.posted[f"entity:{SELLER}"] == 9595

    def test_payments_add_up(self) -> None:
        world = new_world(sandbox=False)
        world.pack()
        world.go()
        assert world.pay(amount_minor=5000, n=1)["in_escrow_minor"] == 5000
        assert world.pay(amount_minor=4900, n=2)["in_escrow_minor"] == 9900
        assert world.settle()["status"] == "settled"

    def test_platform_components_and_zero_legs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from settlement.core import fees

        policy = fees.FeePolicy(
            id="with-platform",
            tiers=fees.DISCOUNTS_1.tiers,
            platform=(
                fees.PlatformRate(name="hosting", rate_ppm=10_000, flat="0"),
                fees.PlatformRate(name="free", rate_ppm=0, flat="0"),
            ),
        )
        monkeypatch.setitem(fees.POLICIES, policy.id, policy)
        world = new_world(fee_policy=policy.id)
        world.pack(price_minor=10_000)
        world.go()
        world.pay(amount_minor=10_000)
        result = world.settle()
        assert (result["platform_fee_minor"], result["net_minor"]) == (100, 9592)
        assert world.payload("SETTLED")["components"] == [
            {"name": "hosting", "amount_minor": 100},
            {"name": "free", "amount_minor": 0},
        ]
        assert world.books.posted["fee_platform:platform"] == 100


class TestBalanceSettle:
    def world(self) -> World:
        world = new_world(sandbox=False)
        world.fund(BUYER, 200_00)
        world.pack()
        return world

    def test_the_buyer_approves_by_paying(self) -> None:
        world = self.world()
        before = world.books.available(f"entity:{BUYER}")
        result = world.settle(principal=key_of(BUYER), provider="balance", counterparty_id=SELLER)
        assert result["provider"] == "balance"
        assert result["events_emitted"] == [
            "GO_APPROVED",
            "PAYMENT_AUTHORIZED",
            "SETTLED",
            "OUTCOME_RECORDED",
        ]
        assert world.books.available(f"entity:{BUYER}") == before - 9900
        paid = world.payload("PAYMENT_AUTHORIZED")
        assert (paid["source"], paid["rail"], paid["authority"]) == ("balance", None, "key")
        assert world.deals["deal_1"].buyer_id == BUYER

    def test_the_buyers_own_go_lets_the_seller_draw(self) -> None:
        world = self.world()
        world.go()
        assert world.settle(provider="balance")["provider"] == "balance"

    def test_the_buyer_named_by_an_open_go_binds_itself_by_its_key(self) -> None:
        world = self.world()
        world.go(principal=NOBODY, actor_id=BUYER)
        result = world.settle(principal=key_of(BUYER), provider="balance")
        assert (result["to_agent"], world.deals["deal_1"].buyer_id) == (SELLER, BUYER)


class TestChargedSettle:
    def pending(self) -> tuple[World, dict[str, Any]]:
        world = new_world()
        world.pack()
        decision_result = world.settle(amount_minor=5000)
        return world, decision_result

    def test_stamp_then_settle_works_without_go_and_funds(self) -> None:
        """Contract §0.1: the official clients' journey in sandbox, also with an unbound seller."""
        world = new_world()
        world.pack(principal=NOBODY, agent_username="never-registered")
        planned = world.settle(to_agent=SELLER, provider="balance", amount_minor=None)
        assert (planned["status"], planned["gross_minor"]) == ("settling", 9900)
        charge(world, CONFIRMED)
        assert world.types() == HAPPY[:5]
        assert world.payload("GO_APPROVED")["authority"] == "rail"
        assert world.deals["deal_1"].seller_id == SELLER
        assert ("deal_1", SELLER, "seller") in world.parties

    def test_nothing_moves_before_the_rail_has_answered(self) -> None:
        world, planned = self.pending()
        assert planned["tx_id"] is None
        assert world.deals["deal_1"].state is DealState.SETTLING
        assert not world.accounts
        effect = world.effects[world.open_effect()]
        assert (effect.kind, effect.amount_minor) == (EffectKind.CHARGE, 5000)
        assert effect.obligation_key == "charge:deal_1:0"
        (job,) = world.jobs
        assert (job.job_type, job.dedup_key) == ("effect", effect.effect_id)

    def test_confirmed_ends_the_claim_with_the_answer_of_a_direct_settle(self) -> None:
        """Catches a build whose late answer lacks members that a direct one has."""
        direct = new_world()
        direct.pack()
        direct.go(amount_minor=5000)
        direct.pay(amount_minor=5000)
        wanted = direct.settle()
        world, planned = self.pending()
        charge(world, CONFIRMED)
        (stored,) = [v for k, v in world.claims.items() if k[1] == "settle"]
        result = json.loads(stored)["result"]
        assert result.keys() == wanted.keys() == planned.keys()
        assert {n: type(v) for n, v in result.items()} == {n: type(v) for n, v in wanted.items()}
        same = {"gross_minor", "net_minor", "protocol_fee_minor", "splits", "status", "fee_tier"}
        assert {n: result[n] for n in same} == {n: wanted[n] for n in same}
        assert result["events_emitted"] == HAPPY[1:5]
        assert world.payload("PAYMENT_AUTHORIZED")["rail_ref"] == "rail_1"
        assert world.payload("SETTLED")["authority"] == "key"
        assert world.deals["deal_1"].funding == "charge"

    def test_a_refusal_returns_the_deal_and_frees_the_claim(self) -> None:
        """Catches a build that bars the deal after a declined card, or charges again unasked."""
        world, _ = self.pending()
        charge(world, REFUSED)
        deal = world.deals["deal_1"]
        assert (deal.state, deal.charge_refusals) == (DealState.GO_APPROVED, 1)
        assert [v for k, v in world.claims.items() if k[1] == "settle"] == [None]
        assert world.types() == HAPPY[:2]
        world.settle()
        assert world.effects[world.open_effect()].obligation_key == "charge:deal_1:1"
        charge(world, CONFIRMED)
        assert world.types() == HAPPY[:5]

    def test_silence_changes_the_effect_only(self) -> None:
        """Catches a build that takes a timeout for a refusal."""
        world, _ = self.pending()
        effect_id = world.sent(world.open_effect())
        answer_charge(world, effect_id, UNKNOWN)
        assert world.effects[effect_id].state is EffectState.UNKNOWN
        assert world.deals["deal_1"].state is DealState.SETTLING
        answer_charge(world, effect_id, CONFIRMED)
        assert world.types()[-1] == "OUTCOME_RECORDED"


class TestSplits:
    SPLITS = (
        Split(agent_id=SELLER, role="lead", share="0.5"),
        Split(agent_id=HELPER, role="writer", share="0.3"),
        Split(agent_id=STRANGER, role="editor", share="0.2"),
    )

    def test_net_and_fee_are_divided_exactly(self) -> None:
        world = new_world()
        world.pack()
        world.go()
        world.pay()
        result = world.settle(splits=self.SPLITS)
        rows = result["splits"]
        assert [row["net_amount_minor"] for row in rows] == [4798, 2878, 1919]
        assert sum(row["gross_amount_minor"] for row in rows) == 9900
        assert world.payload("SETTLED")["payees"] == [
            {"agent_id": SELLER, "net_minor": 4798},
            {"agent_id": HELPER, "net_minor": 2878},
            {"agent_id": STRANGER, "net_minor": 1919},
        ]
        assert ("deal_1", HELPER, "payee") in world.parties

    def test_splits_survive_the_wait_for_the_rail(self) -> None:
        world = new_world()
        world.pack()
        planned = world.settle(splits=self.SPLITS)
        charge(world, CONFIRMED)
        (stored,) = [v for k, v in world.claims.items() if k[1] == "settle"]
        assert json.loads(stored)["result"]["splits"] == planned["splits"]

    def test_a_seller_may_leave_itself_out(self) -> None:
        world = new_world()
        world.pack()
        world.go()
        world.pay()
        splits = (
            Split(agent_id=HELPER, role="a", share="0.5"),
            Split(agent_id=STRANGER, role="b", share="0.5"),
        )
        world.settle(splits=splits)
        assert world.volumes[-1].agent_id == SELLER, "the volume stays the seller's"
