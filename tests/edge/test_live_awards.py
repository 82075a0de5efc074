"""Live mode over HTTP: who approves, and for how much, is not the seller's to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from settlement.signing import create_key_file
from tests.edge.test_intents import bid, close, intent
from tests.edge.test_transport import problem
from tests.edge.world import World, world

if TYPE_CHECKING:
    from collections.abc import Iterator

GO = "/protocol/go"
SEALING = {"SETTLEMENT_MODE": "live", "SETTLEMENT_SEAL_KEY": "b" * 43 + "="}


@pytest.fixture(scope="module")
def live_mode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Live mode with a key to seal bids."""
    directory = tmp_path_factory.mktemp("live-awards")
    create_key_file(directory / "keys" / "log_signing.key")
    with world(directory, f"sqlite:///{directory / 'settlement.db'}", **SEALING) as served:
        for name in ("seller", "buyer"):
            served.register(name)
        yield served


def shown(pack: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {**{name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}, **members}


def test_an_award_is_approved_by_its_client_at_its_price(live_mode: World) -> None:
    """Broken build: the winner approves its own work, unkeyed, at ten times the price, and the
    client's own GO then answers ok as a replay of that."""
    made = intent(live_mode, "buyer")
    bid(live_mode, made, live_mode.agents["seller"].agent_id, 10, "seller")
    close(live_mode, made, "buyer")
    pack = live_mode.proof("seller", deal_id=made["deal_id"], price=999)
    dear = shown(pack, amount="100.00")
    problem(live_mode.call("POST", GO, dear, who="seller"), 403, "self_approval")
    problem(live_mode.call("POST", GO, dear), 403, "party_mismatch")
    problem(live_mode.call("POST", GO, shown(pack)), 403, "party_mismatch")
    refused = problem(live_mode.call("POST", GO, dear, who="buyer"), 409, "amount_mismatch")
    assert (refused["approved_minor"], refused["named_minor"]) == (1_000, 10_000)
    assert live_mode.ok("POST", GO, shown(pack), who="buyer")["amount"] == 10


def test_a_go_that_names_no_amount_is_no_repeat_of_one_at_another(live_mode: World) -> None:
    """Broken build: who approves the quote is answered ok for an amount that a stranger named."""
    pack = live_mode.proof(price=10)
    dear = shown(pack, amount="100.00")
    first = live_mode.ok("POST", GO, dear)
    refused = problem(live_mode.call("POST", GO, shown(pack), who="buyer"), 409, "already_decided")
    assert refused["field"] == "amount_minor"
    again = live_mode.ok("POST", GO, dear, who="buyer")
    assert (again["_idempotent"], again["go_key"]) == (True, first["go_key"])


def test_a_repeat_may_leave_out_or_name_the_quoted_amount(live_mode: World) -> None:
    """Broken build: the amount compared as sent, so the same approval is not known again."""
    for sent, repeat in (({}, {"amount": 10}), ({"amount": 10}, {})):
        pack = live_mode.proof(price=10)
        live_mode.ok("POST", GO, shown(pack, **sent), who="buyer")
        again = live_mode.ok("POST", GO, shown(pack, **repeat), who="buyer")
        assert (again["_idempotent"], again["amount"]) == (True, 10)
