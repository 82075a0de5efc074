"""The life of a deal, as data: which verb leads from which state to which.

For: every operation, which asks this table before it decides; the audit, which replays it; the
documentation, whose state diagram is made from it.
Guarantees: a verb that a state does not list is refused with `illegal_transition`, or with the
code that names the missing step; the shown status of a settled deal follows its payouts.
Does not: know who may use a verb; parties are the operations' business.

Spec §4.1, §4.4. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from settlement.core.errors import (
    GoRequired,
    IllegalTransition,
    NotSettled,
    ProofRequired,
    SettlementError,
)
from settlement.core.rows import Deal, DealState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_S = DealState
_BEFORE_SETTLING: Final = (_S.CREATED, _S.PROOF_READY, _S.GO_APPROVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One row of spec §4.4. No target: the deal stays in the state it is in."""

    operation: str
    sources: tuple[DealState, ...]
    targets: tuple[DealState, ...] = ()
    makes_deals: bool = False
    #: states whose refusal names the missing step instead of `illegal_transition`.
    missing_step: Mapping[DealState, str] | None = None


TRANSITIONS: Final[Mapping[str, Transition]] = {
    row.operation: row
    for row in (
        Transition(
            operation="proof_pack",
            sources=(_S.CREATED, _S.PROOF_READY),
            targets=(_S.PROOF_READY,),
            makes_deals=True,
        ),
        Transition(operation="place_bid", sources=(_S.CREATED,)),
        Transition(operation="close_intent", sources=(_S.CREATED,)),
        Transition(operation="verify", sources=_BEFORE_SETTLING),
        Transition(
            operation="go",
            sources=(_S.PROOF_READY,),
            targets=(_S.GO_APPROVED,),
            missing_step={_S.CREATED: "proof"},
        ),
        Transition(
            operation="auto_go",
            sources=(_S.PROOF_READY,),
            targets=(_S.GO_APPROVED,),
            missing_step={_S.CREATED: "proof"},
        ),
        Transition(
            operation="accept",
            sources=(_S.PROOF_READY, _S.GO_APPROVED),
            targets=(_S.GO_APPROVED,),
            missing_step={_S.CREATED: "proof"},
        ),
        Transition(
            operation="submit_acceptance",
            sources=(_S.PROOF_READY, _S.GO_APPROVED),
            missing_step={_S.CREATED: "proof"},
        ),
        Transition(operation="reject", sources=(_S.PROOF_READY, _S.GO_APPROVED)),
        Transition(
            operation="settle",
            sources=(_S.GO_APPROVED,),
            targets=(_S.SETTLING, _S.SETTLED),
            missing_step={_S.CREATED: "go", _S.PROOF_READY: "go"},
        ),
        # The rail's answer to a settle's charge: no caller has these verbs.
        Transition(operation="charge_confirmed", sources=(_S.SETTLING,), targets=(_S.SETTLED,)),
        Transition(operation="charge_refused", sources=(_S.SETTLING,), targets=(_S.GO_APPROVED,)),
        Transition(
            operation="record_payment",
            sources=(*_BEFORE_SETTLING, _S.SETTLING, _S.DISPUTED),
        ),
        Transition(
            operation="payout",
            sources=(_S.SETTLED,),
            missing_step={
                state: "settle" for state in _S if state not in (_S.SETTLED, _S.DISPUTED)
            },
        ),
        Transition(
            operation="open_dispute",
            sources=(_S.GO_APPROVED, _S.SETTLED),
            targets=(_S.DISPUTED,),
        ),
        Transition(
            operation="resolve_dispute",
            sources=(_S.DISPUTED,),
            targets=(_S.SETTLED, _S.REFUNDED),
        ),
        Transition(
            operation="refund", sources=(_S.GO_APPROVED, _S.SETTLED), targets=(_S.REFUNDED,)
        ),
        Transition(operation="cancel", sources=_BEFORE_SETTLING, targets=(_S.CANCELLED,)),
    )
}

_MISSING: Final[Mapping[str, Callable[[Deal], SettlementError]]] = {
    "proof": lambda deal: ProofRequired(deal_id=deal.deal_id),
    "go": lambda deal: GoRequired(deal_id=deal.deal_id),
    "settle": lambda deal: NotSettled(deal_id=deal.deal_id, state=deal.state.value),
}


def check_transition(deal: Deal, operation: str) -> None:
    """Raise the refusal of spec §4.4 unless the deal's state lists the operation."""
    row = TRANSITIONS[operation]
    if deal.state in row.sources:
        return
    step = (row.missing_step or {}).get(deal.state)
    if step is not None:
        raise _MISSING[step](deal)
    raise IllegalTransition(deal_id=deal.deal_id, state=deal.state.value, operation=operation)


def is_legal(operation: str, source: DealState, target: DealState) -> bool:
    """Tell whether the table has this step; what the audit asks of a recorded history."""
    row = TRANSITIONS[operation]
    return source in row.sources and (
        target in row.targets or (not row.targets and source == target)
    )


_FAILED: Final = frozenset({"refused"})
_OPEN: Final = frozenset({"planned", "sent", "unknown"})


def shown_status(state: DealState, payout_states: Iterable[str]) -> str:
    """The status clients see: a settled deal's comes from its payouts (spec §4.1)."""
    states = list(payout_states)
    if state is not DealState.SETTLED or not states:
        return state.value
    if any(payout in _FAILED for payout in states):
        return "payout_failed"
    if any(payout in _OPEN for payout in states):
        return "payout_initiated"
    return "payout_confirmed"


def mermaid() -> str:
    """The state diagram of the documentation."""
    lines = ["stateDiagram-v2"]
    for row in TRANSITIONS.values():
        if row.makes_deals:
            lines += [f"    [*] --> {target.value}: {row.operation}" for target in row.targets]
        lines += [
            f"    {source.value} --> {target.value}: {row.operation}"
            for source in row.sources
            for target in row.targets or (source,)
        ]
    lines += [f"    {state.value} --> [*]" for state in (_S.REFUNDED, _S.CANCELLED)]
    return "\n".join(lines) + "\n"
