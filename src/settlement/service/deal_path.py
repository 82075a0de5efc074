"""The path of a deal, replayed from its events: which state each finds, which it leaves.

For: `settlement audit` (check 23) and `replay_deal`, which compare the end with the deal's row.
Guarantees: it is written down here a second time, without the tables of `core/deal.py`; whether
money that goes back ends a deal is counted from the events, never taken from the row.
Does not: read anything.

Spec §4.1, §4.4, §16.3. Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

NEW: Final = ""
#: event type -> (states it may find, state it leaves; None: the one it found). `created` and no
#: deal yet are one to a deal that is born with its first proof.
STEPS: Final[dict[str, tuple[frozenset[str], str | None]]] = {
    "INTENT_CREATED": (frozenset({NEW}), "created"),
    "BID_RECEIVED": (frozenset({"created"}), None),
    "INTENT_CLOSED": (frozenset({"created"}), None),
    "INTENT_AWARDED": (frozenset({"created"}), None),
    "PROOF_READY": (frozenset({NEW, "created", "proof_ready"}), "proof_ready"),
    "GO_APPROVED": (frozenset({"proof_ready"}), "go_approved"),
    "AUTO_GO_APPROVED": (frozenset({"proof_ready"}), "go_approved"),
    "SETTLED": (frozenset({"go_approved", "disputed"}), "settled"),
    "PAYOUT_INITIATED": (frozenset({"settled"}), None),
    "PAYOUT_CONFIRMED": (frozenset({"settled", "disputed", "refunded"}), None),
    "PAYOUT_FAILED": (frozenset({"settled", "disputed", "refunded"}), None),
    "DISPUTE_OPENED": (frozenset({"go_approved", "settled"}), "disputed"),
    "DISPUTE_RESOLVED": (frozenset({"disputed"}), None),
    "REFUND_INITIATED": (frozenset({"go_approved", "settled", "disputed"}), None),
    "REFUNDED": (frozenset({"go_approved", "settled", "disputed"}), None),
    "REFUND_FAILED": (frozenset({"go_approved", "settled", "disputed"}), None),
    "DEAL_CANCELLED": (frozenset({NEW, "created", "proof_ready", "go_approved"}), "cancelled"),
    "PAYMENT_AUTHORIZED": (
        frozenset({"created", "proof_ready", "go_approved", "disputed"}),
        None,
    ),
}
#: States of the row that leave no event of their own: the event before them left the other one.
SILENT: Final = {"settling": "go_approved"}


@dataclass(slots=True)
class Path:
    """Where a deal is while its events are replayed."""

    state: str = NEW
    settled: bool = False
    given_minor: int = 0
    back_minor: int = 0

    def step(self, event_type: str, payload: Mapping[str, Any]) -> bool:
        """Go one event further; False when it cannot happen in this state."""
        sources, target = STEPS.get(event_type, (frozenset({self.state}), None))
        legal = self.state in sources
        self.settled = self.settled or event_type == "SETTLED"
        if target is not None:
            self.state = target
        elif event_type == "DISPUTE_RESOLVED" and self.settled:
            self.state = "settled"
        amount = payload.get("amount_minor")
        if isinstance(amount, int):
            self._count(event_type, amount)
        return legal

    def ends_as(self) -> str:
        """The state that the deal's row should have."""
        return self.state or "created"

    def _count(self, event_type: str, amount_minor: int) -> None:
        """A refund of all that is left of what was given ends the deal."""
        if event_type == "PAYMENT_AUTHORIZED":
            self.given_minor += amount_minor
        elif event_type in ("REFUNDED", "CHARGED_BACK"):
            self.back_minor += amount_minor
            if event_type == "REFUNDED" and self.back_minor >= self.given_minor:
                self.state = "refunded"
