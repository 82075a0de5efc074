"""The table of a deal's states, the shown status, and the diagram made from the table."""

from __future__ import annotations

import pytest

from settlement.core import errors
from settlement.core.deal import TRANSITIONS, check_transition, is_legal, mermaid, shown_status
from settlement.core.operations._common import empty_deal
from settlement.core.rows import Deal, DealState
from tests.support.world import new_world

#: Spec §4.4, written down a second time: verb -> states it starts from.
ALLOWED = {
    "proof_pack": "created proof_ready",
    "verify": "created proof_ready go_approved",
    "go": "proof_ready",
    "auto_go": "proof_ready",
    "accept": "proof_ready go_approved",
    "reject": "proof_ready go_approved",
    "settle": "go_approved",
    "payout": "settled",
    "open_dispute": "go_approved settled",
    "resolve_dispute": "disputed",
    "refund": "go_approved settled",
    "cancel": "created proof_ready go_approved",
}
MISSING_STEP = {
    ("go", "created"): "proof_required",
    ("auto_go", "created"): "proof_required",
    ("accept", "created"): "proof_required",
    ("settle", "created"): "go_required",
    ("settle", "proof_ready"): "go_required",
} | {("payout", state): "not_settled" for state in DealState if state != "disputed"}


def deal_in(state: DealState) -> Deal:
    world = new_world()
    world.deals["deal_1"] = empty_deal("deal_1", asset="USD/2", is_open=False, now="")
    return world.deal_in(state)


@pytest.mark.parametrize("state", list(DealState))
@pytest.mark.parametrize("operation", ALLOWED)
def test_a_verb_works_from_the_listed_states_only(operation: str, state: DealState) -> None:
    """Catches a build that lets a verb through from a state it does not list."""
    if state in ALLOWED[operation].split():
        check_transition(deal_in(state), operation)
        return
    code = MISSING_STEP.get((operation, state), "illegal_transition")
    with pytest.raises(errors.BY_CODE[code]):
        check_transition(deal_in(state), operation)


def test_an_audit_can_ask_for_a_step() -> None:
    assert is_legal("go", DealState.PROOF_READY, DealState.GO_APPROVED)
    assert is_legal("verify", DealState.CREATED, DealState.CREATED)
    assert not is_legal("verify", DealState.CREATED, DealState.SETTLED)
    assert not is_legal("settle", DealState.PROOF_READY, DealState.SETTLED)


@pytest.mark.parametrize(
    ("payouts", "status"),
    [
        ([], "settled"),
        (["confirmed"], "payout_confirmed"),
        (["confirmed", "unknown"], "payout_initiated"),
        (["planned", "refused"], "payout_failed"),
    ],
)
def test_a_settled_deal_shows_its_payouts(payouts: list[str], status: str) -> None:
    assert shown_status(DealState.SETTLED, payouts) == status
    assert shown_status(DealState.DISPUTED, payouts) == "disputed"


def test_the_diagram_has_every_step_of_the_table() -> None:
    text = mermaid()
    assert text.startswith("stateDiagram-v2\n")
    for row in TRANSITIONS.values():
        for source in row.sources:
            for target in row.targets or (source,):
                assert f"    {source} --> {target}: {row.operation}\n" in text
