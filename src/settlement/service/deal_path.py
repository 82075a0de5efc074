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
    "PROOF_READY": (frozenset({NEW, "created", "proof_ready"}), "proof_ready"),
    "GO_APPROVED": (frozenset({"proof_ready"}), "go_approved"),
    "AUTO_GO_APPROVED": (frozenset({"proof_ready"}), "go_approved"),
    "SETTLED": (frozenset({"go_approved", "disputed"}), "settled"),
    "PAYOUT_INITIATED": (frozenset({"settled"}), None),
    "PAYOUT_CONFIRMED": (frozenset({"settled", "disputed"}), None),
    "PAYOUT_FAILED": (frozenset({"settled", "disputed"}), None),
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
#: Events whose payload the path needs.
READ: Final = frozenset(
    {
        "PAYMENT_AUTHORIZED",
        "REFUND_INITIATED",
        "REFUNDED",
        "REFUND_FAILED",
        "CHARGED_BACK",
        "DISPUTE_RESOLVED",
    }
)


@dataclass(slots=True)
class Path:
    """Where a deal is while its events are replayed."""

    state: str = NEW
    settled: bool = False
    given_minor: int = 0
    back_minor: int = 0
    ruled_minor: int | None = None  # what a ruling still has to give back

    def step(self, event_type: str, payload: Mapping[str, Any]) -> bool:
        """Go one event further; False when it cannot happen in this state."""
        sources, target = STEPS.get(event_type, (frozenset({self.state}), None))
        legal = self.state in sources
        ruling = self.ruled_minor is not None
        if event_type == "SETTLED":
            self.settled = True
        if target is not None and not (event_type == "SETTLED" and ruling):
            self.state = target
        self._money(event_type, payload)
        return legal

    def ends_as(self) -> str:
        """The state that the deal's row should have."""
        return self.state or "created"

    def _money(self, event_type: str, payload: Mapping[str, Any]) -> None:
        amount = payload.get("amount_minor")
        minor = amount if isinstance(amount, int) else 0
        if event_type == "PAYMENT_AUTHORIZED":
            self.given_minor += minor
        elif event_type == "DISPUTE_RESOLVED":
            refunded = payload.get("refund_minor")
            self.ruled_minor = refunded if isinstance(refunded, int) else 0
        elif event_type in ("REFUNDED", "CHARGED_BACK"):
            self.back_minor += minor
            if self.ruled_minor is not None and payload.get("dispute_id"):
                self.ruled_minor -= minor
        self._end(event_type)

    def _end(self, event_type: str) -> None:
        """A refund of all that was given ends the deal; a ruling that is carried out settles it."""
        if event_type == "REFUNDED" and 0 < self.given_minor <= self.back_minor:
            self.state = "refunded"
            self.ruled_minor = None
        elif self.ruled_minor == 0 and self.state == "disputed" and self.settled:
            self.state = "settled"
            self.ruled_minor = None
