"""Money through the SDK, sync and async: settle, splits, fees by volume, audits, payouts.

Asserted each time: the answer's members and sums, the chain of events, the ledger's rows, and, at
the ends of the journeys, that `settlement audit` finds nothing in the whole database.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.clients.sdk import GO_MEMBERS, SyncSdk, fresh_name
from tests.support import wire
from tests.support.wire import NUMBER, members

if TYPE_CHECKING:
    from tests.clients.sdk import AsyncSdk
    from tests.support.server import Server

pytestmark = pytest.mark.clients


def refusal(sdk: SyncSdk | AsyncSdk, method: str, *args: Any, **kwargs: Any) -> tuple[int, str]:
    """Status and code of a refused call."""
    with pytest.raises(httpx.HTTPStatusError) as caught:
        sdk.call(method, *args, **kwargs)
    body = caught.value.response.json()
    assert body["ok"] is False
    return caught.value.response.status_code, body["error"]


def settled(sdk: SyncSdk | AsyncSdk, seller: str, amount: float) -> dict[str, Any]:
    """A deal of the seller, approved and settled for that amount; settle's answer."""
    pack = sdk.ok("create_proof_pack", seller)
    sdk.ok("go", *(pack[name] for name in GO_MEMBERS), amount=amount)
    body: dict[str, Any] = sdk.ok("settle", pack["deal_id"], amount, seller, "some_buyer")
    return body


def test_the_whole_journey_of_a_deal(either_sdk: SyncSdk | AsyncSdk, server: Server) -> None:
    """Catches: a settle whose answer, events and ledger do not tell one story to the cent."""
    seller, buyer = either_sdk.registered("seller"), fresh_name("buyer")
    data = {"preview_url": "https://example.com/a.png"}
    pack = either_sdk.ok("create_proof_pack", seller, proof_data=data)
    deal, proof = pack["deal_id"], pack["proof_hash"]
    go = either_sdk.ok("go", *(pack[name] for name in GO_MEMBERS), amount=100, actor_id=buyer)
    assert go["amount"] == 100
    either_sdk.ok("verify_proof", deal, proof, "creative_preview", None, data)
    body = either_sdk.ok("settle", deal, 100, seller, buyer, proof)

    members(body, gross=NUMBER, net=NUMBER, protocol_fee=NUMBER, platform_fee=NUMBER)
    members(body, events_emitted=list, deal_id=str, tx_id=str, gross_amount=NUMBER)
    members(body, net_to_recipient=NUMBER, to_agent=str, provider=str, settled_at=str)
    members(body, idempotency_key=str, status=str, fee_tier=str, payouts=list, asset=str)
    assert "from_agent" in body
    for name, cents in {
        "gross": 10000,
        "protocol_fee": 308,
        "net": 9692,
        "platform_fee": 0,
    }.items():
        wire.money(body, name, cents)
    wire.money(body, "gross_amount", 10000)
    wire.money(body, "net_to_recipient", 9692)
    wire.splits_sum(body)
    assert "SETTLED" in body["events_emitted"]
    assert (body["to_agent"], body["asset"], body["currency"]) == (seller, "USD/2", "USD")
    assert body["_idempotent"] is False

    timeline = either_sdk.ok("get_timeline", deal)
    members(timeline, deal_id=str, status=str, events=list, ledger=list)
    for event in timeline["events"]:
        members(event, event_type=str, event_id=str, deal_id=str, actor_id=str, timestamp=str)
        members(event, payload=dict, source=str, prev_hash=str, hash=str)
        assert {"counterparty_id", "amount", "log_index"} <= set(event)
    for row in timeline["ledger"]:
        members(row, entry_id=str, entry_type=str, side=str, ref=str, debit=str, credit=str)
        members(row, tx_id=str, timestamp=str)
    wire.settled_once(timeline, "100.00")
    order = ["PROOF_READY", "GO_APPROVED", "PAYMENT_AUTHORIZED", "SETTLED", "OUTCOME_RECORDED"]
    wire.in_order(wire.types(timeline), order)
    assert timeline["status"] == "settled"
    assert wire.entries(timeline, "entity_credit", "credit") == [Decimal("96.92")]
    server.deployment.assert_audit_is_clean()


def test_a_stamped_deal_settles_without_go_in_sandbox(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: a sandbox in which the shortest documented journey, stamp then settle, is barred."""
    seller = either_sdk.registered()
    deal = either_sdk.ok("stamp", seller, "work")["deal_id"]
    body = either_sdk.ok("settle", deal, 40, seller, fresh_name("buyer"))
    wire.money(body, "gross", 4000)
    timeline = either_sdk.ok("get_timeline", deal)
    approvals = [e for e in timeline["events"] if e["event_type"] == "GO_APPROVED"]
    assert [event["payload"]["authority"] for event in approvals] == ["rail"]
    wire.settled_once(timeline, "40.00")


def test_a_replayed_settle_is_the_same_settlement(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: a repeated call that pays again, or answers other money than the first did."""
    seller = either_sdk.registered()
    pack = either_sdk.approved(seller)
    args = (pack["deal_id"], pack["approved"], seller, "some_buyer")
    first = either_sdk.ok("settle", *args)
    again = either_sdk.ok("settle", *args)
    assert either_sdk.last.headers["idempotency-replayed"] == "true"
    assert (first["_idempotent"], again["_idempotent"]) == (False, True)
    assert wire.without_replay_members(again) == wire.without_replay_members(first)
    wire.settled_once(either_sdk.ok("get_timeline", pack["deal_id"]), "99.00")
    assert refusal(either_sdk, "settle", pack["deal_id"], 98.5, seller, "some_buyer") == (
        409,
        "already_decided",
    )
    wire.settled_once(either_sdk.ok("get_timeline", pack["deal_id"]), "99.00")


def test_settle_is_for_parties_with_a_key(sdk: SyncSdk, server: Server) -> None:
    """Catches: money moved by strangers, and a refusal that costs the deal its one settle."""
    seller = sdk.registered()
    pack = sdk.approved(seller)
    deal = pack["deal_id"]
    with SyncSdk(server.url) as stranger:
        assert refusal(stranger, "settle", deal, 99, seller, "x") == (401, "key_required")
        own = stranger.registered()
        assert refusal(stranger, "settle", deal, 99, seller, "x") == (403, "actor_mismatch")
        assert refusal(stranger, "settle", deal, 99, own, seller) == (403, "party_mismatch")
    assert refusal(sdk, "settle", deal, 98, seller, "x") == (409, "amount_mismatch")
    assert refusal(sdk, "settle", "deal_nowhere", 99, seller, "x") == (404, "deal_not_found")
    timeline = sdk.ok("get_timeline", deal)
    assert timeline["ledger"] == []
    wire.money(sdk.ok("settle", deal, 99, seller, "x"), "net", 9595)


@pytest.mark.parametrize(
    ("total", "shares"),
    [
        (100.01, ["0.3333", "0.3333", "0.3334"]),
        (95.95, ["0.5", "0.3", "0.2"]),
        (1.0, ["0.333333", "0.333333", "0.333334"]),
    ],
)
def test_splits_sum_exactly(
    either_sdk: SyncSdk | AsyncSdk, server: Server, total: float, shares: list[str]
) -> None:
    """Catches: a cent lost or made by rounding; a payee who nets more than his gross."""
    payees = [either_sdk.registered("payee") for _ in shares]  # the last one's key stays in use
    pack = either_sdk.ok("create_proof_pack", payees[-1])
    deal = pack["deal_id"]
    either_sdk.ok("go", *(pack[name] for name in GO_MEMBERS), amount=total)
    splits = [
        {"agent_id": payee, "role": f"role{n}", "share": float(share)}
        for n, (payee, share) in enumerate(zip(payees, shares, strict=True))
    ]
    body = either_sdk.ok("settle_multi", deal, total, splits)
    assert "SETTLED" in body["events_emitted"]
    wire.splits_sum(body)
    rows = body["splits"]
    for row, payee in zip(rows, payees, strict=True):
        members(row, agent_id=str, role=str, share=NUMBER, gross_amount=NUMBER)
        members(row, fee_amount=NUMBER, net_amount=NUMBER)
        assert row["agent_id"] == payee
        assert row["gross_amount_minor"] == row["net_amount_minor"] + row["fee_amount_minor"]
    cents = int(Decimal(str(total)) * 100)
    assert sum(row["gross_amount_minor"] for row in rows) == cents == body["gross_minor"]
    assert sum(row["net_amount_minor"] for row in rows) == body["net_minor"]
    again = either_sdk.ok("settle_multi", deal, total, splits)
    assert again["_idempotent"] is True
    assert again["splits"] == rows
    timeline = either_sdk.ok("get_timeline", deal)
    wire.settled_once(timeline, f"{Decimal(cents) / 100:.2f}")
    assert len(wire.entries(timeline, "entity_credit", "credit")) == len(payees)
    with SyncSdk(server.url) as reader:
        assert reader.ok("get_deal_splits", deal)["splits"] == rows


def test_splits_that_do_not_add_up_or_name_a_stranger_pay_nobody(sdk: SyncSdk) -> None:
    """Catches: some payees paid and others not."""
    seller = sdk.registered()
    pack = sdk.approved(seller)
    deal = pack["deal_id"]

    def parts(*pairs: tuple[str, float]) -> list[dict[str, Any]]:
        return [{"agent_id": agent, "role": "r", "share": share} for agent, share in pairs]

    unknown = "agent_" + "0" * 32
    short = parts((seller, 0.5))
    assert refusal(sdk, "settle_multi", deal, 99, short) == (422, "shares_not_one")
    stranger = parts((seller, 0.5), (unknown, 0.5))
    status, code = refusal(sdk, "settle_multi", deal, 99, stranger)
    assert (status, code) == (404, "agent_not_found")
    assert sdk.ok("get_timeline", deal)["ledger"] == []
    assert sdk.ok("get_deal_splits", deal)["splits"] == []


def test_a_plain_settle_has_one_split(sdk: SyncSdk) -> None:
    """Catches: reports that add up splits and miss the deals with one payee."""
    seller = sdk.registered()
    body = settled(sdk, seller, 100)
    (row,) = sdk.ok("get_deal_splits", body["deal_id"])["splits"]
    assert (row["agent_id"], row["share"]) == (seller, 1)
    assert (row["gross_amount_minor"], row["fee_amount_minor"]) == (10000, 308)


def test_the_fee_tier_follows_what_was_settled(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: volume that misses a settlement, a discount on the deal that earned it."""
    seller = either_sdk.registered()
    wire.money(settled(either_sdk, seller, 1000), "protocol_fee", 2828)
    tier = either_sdk.ok("get_agent_fee_tier", seller)
    assert (tier["tier"], tier["volume_30d_usd"]) == ("Growth", 1000)
    wire.money(settled(either_sdk, seller, 100), "protocol_fee", 293)
    found = either_sdk.ok("get_reputation", seller)
    assert (found["total_settlements"], found["total_volume_usd"]) == (2, 1100)


def test_attribution_and_revenue_are_for_those_who_took_part(sdk: SyncSdk, server: Server) -> None:
    """Catches: an audit that does not add up to the ledger, or that strangers can read."""
    seller = sdk.registered()
    deals = [settled(sdk, seller, amount)["deal_id"] for amount in (100, 11.25)]
    body = sdk.ok("get_attribution", deals[0])
    members(body, deal_id=str, event_chain=list, ledger_entries=list, totals_by_type=dict)
    members(body, referral_attributions=list, policy_hash=str, fee_schedule_hash=str, payout=dict)
    wire.chain_holds(body["event_chain"])
    wire.ledger_holds(body["ledger_entries"])
    audit = sdk.ok("get_revenue_audit", seller)
    members(audit, totals_by_type=dict, deals=dict, deal_count=int, entry_count=int)
    assert audit["deal_count"] == 2
    assert set(audit["deals"]) == set(deals)
    net = sum(Decimal(deal["net"]) for deal in audit["deals"].values())
    assert net == Decimal("96.92") + Decimal("10.65") == Decimal(audit["net"])
    with SyncSdk(server.url) as stranger:
        for method, subject in (("get_attribution", deals[0]), ("get_revenue_audit", seller)):
            assert refusal(stranger, method, subject) == (401, "key_required")
        stranger.registered()
        assert refusal(stranger, "get_attribution", deals[0])[0] == 404
        assert refusal(stranger, "get_revenue_audit", seller)[0] == 404


def test_attribution_by_the_asynchronous_sdk(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: an endpoint that only one of the two SDKs can read."""
    body = settled(either_sdk, either_sdk.registered(), 100)
    found = either_sdk.ok("get_attribution", body["deal_id"])
    assert len(found["event_chain"]) == len(
        either_sdk.ok("get_timeline", body["deal_id"])["events"]
    )


def test_a_settlement_is_found_by_its_key(sdk: SyncSdk, server: Server) -> None:
    """Catches: `idempotency_key` handed out and unknown when asked for; outcomes for strangers."""
    body = settled(sdk, sdk.registered(), 100)
    found = sdk.ok("get_idempotency_receipt", body["idempotency_key"])
    assert (found["operation"], found["deal_id"], found["state"]) == (
        "settle",
        body["deal_id"],
        "done",
    )
    with SyncSdk(server.url) as stranger:
        seen = stranger.ok("get_idempotency_receipt", body["idempotency_key"])
    assert body["tx_id"] not in str(seen)


def test_a_settlement_is_paid_out_once(sdk: SyncSdk, server: Server) -> None:
    """Catches: a payout of another amount than the net, a second one, a rail asked twice."""
    seller = sdk.registered()
    body = settled(sdk, seller, 100)
    deal = body["deal_id"]
    post = sdk.client._post  # the SDK has no method for payouts; its transport serves
    first = post("/protocol/payouts", {"deal_id": deal}, auth=True)
    again = post("/protocol/payouts", {"deal_id": deal}, auth=True)
    assert (first["ok"], first["_idempotent"], again["_idempotent"]) == (True, False, True)
    payout = again["payout"]
    members(payout, payout_id=str, deal_id=str, agent_id=str, amount=NUMBER, rail=str, state=str)
    assert (payout["agent_id"], payout["amount_minor"], payout["state"]) == (
        seller,
        9692,
        "confirmed",
    )
    timeline = sdk.ok("get_timeline", deal)
    wire.in_order(wire.types(timeline), ["SETTLED", "PAYOUT_INITIATED", "PAYOUT_CONFIRMED"])
    assert timeline["status"] == "payout_confirmed"
    assert wire.entries(timeline, "payout", "debit") == [Decimal("96.92")]
    wire.ledger_holds(timeline["ledger"])
    kinds = [line.kind for line in server.deployment.rail_entries() if line.deal_id == deal]
    assert kinds == ["charge", "payout"]
    server.deployment.assert_audit_is_clean()
