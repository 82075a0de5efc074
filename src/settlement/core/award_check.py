"""Check an award offline: from the events of its deal and the reveal, and nothing else.

For: `settlement verify intent`, clients of ours, and the audit's tests.
Guarantees: every bid counts exactly once: one that was changed, added or left out in the events, in
the list of the close or in the reveal, fails a step; so does another winner, price or budget.
Does not: read a database or trust a member it can compute. Whether the events themselves are those
of the public log is what the deal's bundle proves; hand its events in to tie both together.

Spec §13. Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.auction import Candidate, Wanted, find_winner
from settlement.core.award import reveal_hash
from settlement.core.bids import (
    BidUnreadable,
    budget_commitment,
    commitment_of,
    nonce_from,
    opened_from,
)
from settlement.core.bundle_check import Step, StepResult
from settlement.core.errors import CanonicalForm
from settlement.core.hashes import event_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_HASHED: Final = (
    "event_id",
    "event_type",
    "deal_id",
    "actor_id",
    "timestamp",
    "payload",
    "prev_hash",
)
_FIGURES: Final = ("ocs_hundredths", "sla_ppm")


class _Fault(Exception):
    """Why a step fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwardReport:
    """The verdict on one award."""

    intent_id: str
    bid_count: int
    steps: tuple[Step, ...]

    @property
    def verified(self) -> bool:
        """True when every step passed; a reveal that is not complete proves no award."""
        return all(step.result is StepResult.PASS for step in self.steps)

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "verified": self.verified,
            "intent_id": self.intent_id,
            "bid_count": self.bid_count,
            "steps": {s.name: {"result": s.result.value, "why": s.why} for s in self.steps},
        }


def check_award(document: Mapping[str, Any], anchored: Sequence[Any] | None = None) -> AwardReport:
    """Run every step on the answer of `/protocol/intents/{id}/reveal`, read as JSON.

    anchored: the events of the deal's bundle, when there is one: those of the document must be
    among its first.
    """
    found = _Award(document)
    steps: list[tuple[str, Callable[[], None]]] = [
        ("chain", found.check_chain),
        ("bids", found.check_bids),
        ("commitments", found.check_commitments),
        ("reveal", found.check_reveal),
        ("budget", found.check_budget),
        ("award", found.check_award),
    ]
    if anchored is not None:
        steps.append(("bundle", lambda: found.check_anchored(anchored)))
    return AwardReport(
        intent_id=str(document.get("intent_id")),
        bid_count=len(found.of("BID_RECEIVED")),
        steps=tuple(_run(name, step) for name, step in steps),
    )


def _run(name: str, step: Callable[[], None]) -> Step:
    try:
        step()
    except (_Fault, BidUnreadable, CanonicalForm) as fault:
        return Step(name=name, result=StepResult.FAIL, why=str(fault))
    except (KeyError, TypeError, AttributeError, ValueError, AssertionError) as fault:
        why = f"a member is missing or of the wrong type ({fault})"
        return Step(name=name, result=StepResult.FAIL, why=why)
    return Step(name=name, result=StepResult.PASS, why="")


class _Award:
    """A document taken apart; nothing of it is believed before its step."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._intent_id = document.get("intent_id")
        self._deal_id = document.get("deal_id")
        events = document.get("events")
        self._events: list[Any] = events if isinstance(events, list) else []
        reveal = document.get("reveal")
        self._reveal: Mapping[str, Any] = reveal if isinstance(reveal, dict) else {}

    def of(self, event_type: str) -> list[Mapping[str, Any]]:
        """Payloads of the events of a type, in order."""
        return [
            event["payload"]
            for event in self._events
            if isinstance(event, dict)
            and event.get("event_type") == event_type
            and isinstance(event.get("payload"), dict)
        ]

    def _one(self, event_type: str) -> Mapping[str, Any]:
        found = self.of(event_type)
        if len(found) != 1:
            raise _Fault(f"there are {len(found)} events {event_type}, not one")
        if found[0]["intent_id"] != self._intent_id:
            raise _Fault(f"{event_type} is of another intent")
        return found[0]

    def check_chain(self) -> None:
        """Every event hashes to what it claims and names the one before it."""
        before = ""
        for event in self._events:
            if event["deal_id"] != self._deal_id or event["prev_hash"] != before:
                raise _Fault(f"event {event['event_id']} is not next in the deal's chain")
            if event_hash({name: event[name] for name in _HASHED}) != event["hash"]:
                raise _Fault(f"event {event['event_id']} does not hash to what it claims")
            before = event["hash"]
        order = [event["event_type"] for event in self._events]
        if not order or order[0] != "INTENT_CREATED":
            raise _Fault("the chain does not begin with INTENT_CREATED")
        self._one("INTENT_CREATED")
        closed = order.index("INTENT_CLOSED") if "INTENT_CLOSED" in order else len(order)
        if "BID_RECEIVED" in order[closed:]:
            raise _Fault("a bid was received after the close")

    def check_bids(self) -> None:
        """The close lists exactly the bids that were received, in their order."""
        received = [_identity(bid) for bid in self.of("BID_RECEIVED")]
        closed = self._one("INTENT_CLOSED")
        listed = [_identity(bid) for bid in closed["bids"]]
        if any(bid["intent_id"] != self._intent_id for bid in self.of("BID_RECEIVED")):
            raise _Fault("a bid is of another intent")
        if listed != received:
            raise _Fault("the close does not list the bids that were received")
        counts = {closed["bid_count"], self._one("BIDS_REVEALED")["bid_count"]}
        if counts != {len(received)}:
            raise _Fault(f"{len(received)} bids were received, and the close counts otherwise")

    def check_commitments(self) -> None:
        """Each revealed bid is the one that was committed to."""
        listed = self._one("INTENT_CLOSED")["bids"]
        shown = self._reveal["bids"]
        if [(b["bid_id"], b["agent_id"]) for b in shown] != [
            (b["bid_id"], b["agent_id"]) for b in listed
        ]:
            raise _Fault("the reveal does not have each bid once, in the order of the close")
        asset = self._one("INTENT_CREATED")["asset"]
        for bid, said in zip(shown, listed, strict=True):
            opened = opened_from(bid)
            if opened.terms.asset != asset:
                raise _Fault(f"bid {bid['bid_id']} is in another asset")
            found = commitment_of(
                str(self._intent_id), str(bid["agent_id"]), opened.terms, opened.nonce
            )
            if found != said["commitment"]:
                raise _Fault(f"bid {bid['bid_id']} is not what its commitment says")

    def check_reveal(self) -> None:
        """The reveal is the one whose hash the chain has."""
        if "budget_minor" not in self._reveal:
            raise _Fault("the reveal is a bidder's own part; only the whole proves an award")
        found = reveal_hash(str(self._intent_id), self._reveal)
        if found != self._one("BIDS_REVEALED")["reveal_hash"]:
            raise _Fault("the reveal does not hash to what BIDS_REVEALED says")

    def check_budget(self) -> None:
        """The budget is the one fixed before the first bid."""
        created = self._one("INTENT_CREATED")
        nonce = nonce_from(str(self._reveal["budget_nonce"]))
        budget = int(self._reveal["budget_minor"])
        found = budget_commitment(str(self._intent_id), str(created["asset"]), budget, nonce)
        if found != created["budget_commitment"]:
            raise _Fault("the budget is not the one that was committed to")

    def check_award(self) -> None:
        """The rule names the winner and price that the chain has."""
        listed = self._one("INTENT_CLOSED")["bids"]
        candidates = [
            _candidate(n, bid, said)
            for n, (bid, said) in enumerate(zip(self._reveal["bids"], listed, strict=True))
        ]
        asked = Wanted(
            budget_minor=int(self._reveal["budget_minor"]),
            deadline_hours=int(self._one("INTENT_CREATED")["deadline_hours"]),
        )
        winner = find_winner(candidates, asked)
        if winner is None:
            if self.of("INTENT_AWARDED"):
                raise _Fault("no bid is eligible, and yet one was awarded")
            return
        awarded = self._one("INTENT_AWARDED")
        names = ("bid_id", "seller", "price_minor", "delivery_hours")
        if tuple(awarded[name] for name in names) != (
            winner.bid_id,
            winner.agent_id,
            winner.price_minor,
            winner.delivery_hours,
        ):
            raise _Fault(f"the winner is bid {winner.bid_id} of {winner.agent_id}")

    def check_anchored(self, anchored: Sequence[Any]) -> None:
        """The events are the first of a bundle that somebody else has checked."""
        hashes = [event["hash"] for event in anchored[: len(self._events)]]
        if hashes != [event["hash"] for event in self._events]:
            raise _Fault("the events are not those of the bundle")


def _identity(bid: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return bid["bid_id"], bid["agent_id"], bid["commitment"]


def _candidate(n: int, bid: Mapping[str, Any], said: Mapping[str, Any]) -> Candidate:
    terms = opened_from(bid).terms
    if any(type(said[name]) is not int for name in _FIGURES):
        raise _Fault("a bidder's figures are no whole numbers")
    return Candidate(
        bid_id=str(bid["bid_id"]),
        agent_id=str(bid["agent_id"]),
        place=n,
        price_minor=terms.price_minor,
        delivery_hours=terms.delivery_hours,
        ocs_hundredths=said["ocs_hundredths"],
        sla_ppm=said["sla_ppm"],
    )
