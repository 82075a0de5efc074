"""The award: which of the opened bids wins, in integers, so that everybody comes to the same one.

For: the close, the audit, and whoever checks an award with nothing but its events and reveals.
Guarantees: exact integer arithmetic with the roundings of the specification; the answer does not
depend on the order in which bids are handed in; two bids never tie, because places differ.
Does not: open bids, check commitments or know reputations; both figures are as of the bid.

Spec §13. Change colour: red (a change here changes who won).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Parts of a score: how cheap, how fast, how reputed, how punctual. They sum to a million.
PRICE_PART: Final = 400_000
SPEED_PART: Final = 200_000
OCS_PART: Final = 250_000
SLA_PART: Final = 150_000
OCS_WHOLE: Final = 10_000  # hundredths: an OCS of 100
SLA_WHOLE: Final = 1_000_000  # parts per million: always on time
SLA_UNKNOWN: Final = 500_000  # no history


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the client asked for."""

    budget_minor: int
    deadline_hours: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One opened bid. `place`: its place in the deal's chain, which is what "earlier" means."""

    bid_id: str
    agent_id: str
    place: int
    price_minor: int
    delivery_hours: int
    ocs_hundredths: int
    sla_ppm: int


def score(bid: Candidate, wanted: Wanted) -> int:
    """The score of an eligible bid: four parts, each rounded down by itself."""
    budget, deadline = wanted.budget_minor, wanted.deadline_hours
    return (
        PRICE_PART * (budget - bid.price_minor) // budget
        + SPEED_PART * (deadline - bid.delivery_hours) // deadline
        + OCS_PART * bid.ocs_hundredths // OCS_WHOLE
        + SLA_PART * bid.sla_ppm // SLA_WHOLE
    )


def eligible(bids: Iterable[Candidate], wanted: Wanted) -> list[Candidate]:
    """The newest bid of each agent, if it is within budget and deadline.

    An agent whose newest bid is too dear is out, whatever it bid before: it took that back.
    """
    newest: dict[str, Candidate] = {}
    for bid in bids:
        known = newest.get(bid.agent_id)
        if known is None or bid.place > known.place:
            newest[bid.agent_id] = bid
    return [
        bid
        for bid in newest.values()
        if bid.price_minor <= wanted.budget_minor and bid.delivery_hours <= wanted.deadline_hours
    ]


def find_winner(bids: Iterable[Candidate], wanted: Wanted) -> Candidate | None:
    """The highest score; of equals the lower price, then the earlier, then the bid id."""
    return min(
        eligible(bids, wanted),
        key=lambda bid: (-score(bid, wanted), bid.price_minor, bid.place, bid.bid_id),
        default=None,
    )


def on_time_ppm(settled: int, on_time: int) -> int:
    """Punctuality of an agent with so many settled deals of intents behind it."""
    return SLA_UNKNOWN if settled == 0 else SLA_WHOLE * on_time // settled
