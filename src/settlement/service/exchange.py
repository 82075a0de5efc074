"""The exchange: builds its operations, seals bids on their way in, shows what may be shown.

For: the routes of intents and the worker's loop that closes what is due.
Guarantees: a bid leaves this module sealed, so the engine never sees a price; a repeat under a sent
key commits to the same nonce, which is in the caller's answer only. Before the close nothing
here can show a price, for it reads none; after it, the public sees the winner's, a bidder its own,
the client and operators all (spec §13).
Does not: decide; `core/operations/{create_intent,place_bid,close_intent}.py` do.

Spec §13, contract §2.11. Change colour: red.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.auction import find_winner
from settlement.core.award import candidate, reveal_document, wanted
from settlement.core.bids import NONCE_BYTES, BidTerms, OpenedBid, commitment_of, nonce_from
from settlement.core.errors import IntentNotFound, SealKeyMissing
from settlement.core.ids import BidId, IntentId
from settlement.core.intent_rows import IntentState
from settlement.core.operations import CloseIntent, CreateIntent, PlaceBid
from settlement.core.operations.create_intent import SealedKey
from settlement.core.principal import SYSTEM, PrincipalKind
from settlement.core.rows import DealState
from settlement.sealing import NoSealKey, seal_bid
from settlement.service.fresh import new_id
from settlement.store import deals
from settlement.store import exchange as rows

if TYPE_CHECKING:
    from settlement.core.auction import Candidate
    from settlement.core.bids import Opener
    from settlement.core.intent_rows import Bid, Intent, IntentView
    from settlement.core.principal import Principal
    from settlement.core.rows import Event
    from settlement.sealing import SealKey
    from settlement.service.engine import Engine
    from settlement.store.database import Database, Tx

logger = logging.getLogger(__name__)

DUE_BATCH: Final = 20
EVENTS_PAGE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a client wants, as the route read it."""

    client_id: str | None
    capability: str
    requirements: str
    budget_minor: int
    deadline_hours: int


@dataclass(frozen=True, slots=True)
class SealedBid:
    """A bid to hand to the engine, and the nonce that only its bidder is told."""

    operation: PlaceBid
    nonce: str


class Exchange:
    """Everything about intents but the decisions. Thread-safe: it holds a key and a place."""

    def __init__(self, db: Database, engine: Engine, seal: SealKey | None) -> None:
        self._db = db
        self._engine = engine
        self._seal = seal
        self._opener: Opener = seal if seal is not None else NoSealKey()
        self._place = ("", "")

    # --- operations ------------------------------------------------------------------------------

    def new_intent(self, caller: Principal, sent_key: str | None, wish: Wish) -> CreateIntent:
        """An intent with a key of its own; without a seal key it can be made, and takes no bids."""
        intent_id = new_id(IntentId.prefix)
        return CreateIntent(
            principal=caller,
            sent_key=sent_key,
            intent_id=intent_id,
            client_id=wish.client_id,
            capability=wish.capability,
            requirements=wish.requirements,
            budget_minor=wish.budget_minor,
            budget_nonce=os.urandom(NONCE_BYTES),
            deadline_hours=wish.deadline_hours,
            seal=SealedKey() if self._seal is None else self._seal.new_intent_key(intent_id),
        )

    def new_bid(
        self,
        caller: Principal,
        sent_key: str | None,
        intent_id: str,
        agent_id: str,
        terms: BidTerms,
    ) -> SealedBid:
        """Commit and seal. Reads the intent; raises SealKeyMissing when it cannot be sealed to."""
        if self._seal is None:
            reason = "this server has no seal key, so it takes no bids"
            raise SealKeyMissing(intent_id=intent_id, reason=reason)
        known = self._db.read(lambda tx: rows.find_intent(tx, intent_id))
        nonce = self._nonce(caller, sent_key, f"{intent_id} {agent_id}", terms)
        bid_id = new_id(BidId.prefix)
        operation = PlaceBid(
            principal=caller,
            sent_key=sent_key,
            intent_id=intent_id,
            bid_id=bid_id,
            agent_id=agent_id,
            commitment=commitment_of(intent_id, agent_id, terms, nonce),
            ciphertext=_sealed(known, bid_id, agent_id, OpenedBid(terms=terms, nonce=nonce)),
        )
        return SealedBid(operation, nonce.hex())

    def _nonce(
        self, caller: Principal, sent_key: str | None, bid_on: str, terms: BidTerms
    ) -> bytes:
        if sent_key is None or caller.kind is PrincipalKind.ANONYMOUS or self._seal is None:
            return os.urandom(NONCE_BYTES)
        return self._seal.nonce_of(caller.id, sent_key, bid_on, terms)

    def new_close(self, caller: Principal, sent_key: str | None, intent_id: str) -> CloseIntent:
        """The close, with what it needs to open bids."""
        return CloseIntent(
            principal=caller, sent_key=sent_key, intent_id=intent_id, opener=self._opener
        )

    def step(self) -> int:
        """Close a batch of intents whose time has come; how many were closed.

        An intent that cannot be closed (its seal key is gone) keeps its place and holds up no
        other: the next look starts behind it, and from the beginning after the last.
        """
        due = self._db.read(lambda tx: rows.due_intents(tx, self._place, DUE_BATCH))
        self._place = due[-1] if len(due) == DUE_BATCH else ("", "")
        if not due:
            return 0
        answers = self._engine.execute_all(
            [self.new_close(SYSTEM, None, intent_id) for _, intent_id in due]
        )
        for (_, intent_id), answer in zip(due, answers, strict=True):
            if answer.error is not None:
                logger.warning("intent %s is due and not closed: %s", intent_id, answer.error.code)
        return sum(answer.error is None and not answer.replayed for answer in answers)

    # --- reading ---------------------------------------------------------------------------------

    def view(self, intent_id: str, caller: Principal) -> dict[str, Any]:
        """What everybody may know of an intent; its client also sees the budget."""

        def read(tx: Tx) -> dict[str, Any]:
            view = _get(tx, intent_id)
            status = _status(tx, view.intent)
            shown = _public(view, status)
            if _is_client(view.intent, caller):
                shown["budget_usd_minor"] = view.intent.budget_minor
            return shown

        return self._db.read(read)

    def reveal(self, intent_id: str, caller: Principal) -> dict[str, Any]:
        """The bids a caller may see; raises IntentNotFound."""
        return reveal_to(self._db, intent_id, caller)


def reveal_to(db: Database, intent_id: str, caller: Principal) -> dict[str, Any]:
    """The bids a caller may see, with their nonces, and the events they can be checked by.

    The client and operators see all and the budget, a bidder its own. Raises IntentNotFound for
    everybody else, and before the close.
    """

    def read(tx: Tx) -> dict[str, Any]:
        intent = _get(tx, intent_id).intent
        found = revealed(tx, intent)
        everything = _is_client(intent, caller)
        if not everything:
            found["bids"] = [b for b in found["bids"] if b["agent_id"] == caller.agent_id]
            del found["budget_minor"], found["budget_nonce"]
        if intent.state not in _REVEALED or not (everything or found["bids"]):
            raise IntentNotFound(intent_id=intent_id)
        return {
            "intent_id": intent_id,
            "deal_id": intent.deal_id,
            "status": intent.state.value,
            "complete": everything,
            "reveal": found,
            "events": exchange_events(tx, intent.deal_id),
        }

    return db.read(read)


def _sealed(known: IntentView | None, bid_id: str, agent_id: str, opened: OpenedBid) -> str:
    """The ciphertext; empty for an intent that is not there, which the decision will refuse."""
    if known is None:
        return ""
    intent = known.intent
    if not intent.public_key:
        reason = "it was made while there was no seal key; close it and make a new one"
        raise SealKeyMissing(intent_id=intent.intent_id, reason=reason)
    return seal_bid(intent, bid_id, agent_id, opened)


def _get(tx: Tx, intent_id: str) -> IntentView:
    view = rows.find_intent(tx, intent_id)
    if view is None:
        raise IntentNotFound(intent_id=intent_id)
    return view


def _is_client(intent: Intent, caller: Principal) -> bool:
    """Its own key; a name that a keyless client gave is nobody's."""
    return caller.is_operator or (
        intent.client_id is not None and caller.agent_id == intent.client_id
    )


def _status(tx: Tx, intent: Intent) -> str:
    """The stored state, but for what only time or the deal's end has made of it."""
    if intent.state is not IntentState.OPEN:
        return intent.state.value
    deal = deals.find_deal(tx, intent.deal_id)
    if deal is not None and deal.state is DealState.CANCELLED:
        return IntentState.CANCELLED.value
    return "closing" if tx.now >= intent.closes_at else intent.state.value


def _public(view: IntentView, status: str) -> dict[str, Any]:
    intent = view.intent
    return {
        "intent_id": intent.intent_id,
        "deal_id": intent.deal_id,
        "status": status,
        "client_id": intent.client_label,
        "capability": intent.capability,
        "requirements": json.loads(intent.requirements),
        "deadline_hours": intent.deadline_hours,
        "created_at": intent.created_at,
        "closes_at": intent.closes_at,
        "closed_at": intent.closed_at,
        "bids": "revealed" if intent.state in _REVEALED else "sealed",
        "bid_count": view.bid_count,
        "asset": intent.asset,
        "winner_agent_id": intent.winner_agent_id,
        "winner_bid_id": intent.winner_bid_id,
        "winning_price_minor": intent.winning_minor,
        "due_at": intent.due_at,
    }


_REVEALED: Final = frozenset({IntentState.AWARDED, IntentState.NO_AWARD})


def _opened(tx: Tx, intent: Intent, bids: list[Bid]) -> list[tuple[Bid, OpenedBid]]:
    """The bids that the close has revealed."""
    found = rows.reveals_of(tx, intent.intent_id)
    return [
        (
            bid,
            OpenedBid(
                terms=BidTerms(
                    asset=intent.asset,
                    delivery_hours=one.delivery_hours,
                    message=one.message,
                    price_minor=one.price_minor,
                ),
                nonce=nonce_from(one.nonce),
            ),
        )
        for bid in bids
        if (one := found.get(bid.bid_id)) is not None
    ]


def revealed(tx: Tx, intent: Intent) -> dict[str, Any]:
    """The document that BIDS_REVEALED has the hash of; without bids before the close."""
    pairs = _opened(tx, intent, rows.bids_of(tx, intent.intent_id))
    return reveal_document(intent, [bid for bid, _ in pairs], [one for _, one in pairs])


def recompute(db: Database, intent_id: str) -> Candidate | None:
    """The winner by the stored bids and reveals alone; raises IntentNotFound."""

    def read(tx: Tx) -> Candidate | None:
        intent = _get(tx, intent_id).intent
        pairs = _opened(tx, intent, rows.bids_of(tx, intent_id))
        return find_winner([candidate(bid, one) for bid, one in pairs], wanted(intent))

    return db.read(read)


def exchange_events(tx: Tx, deal_id: str) -> list[dict[str, Any]]:
    """The deal's events up to its award, in the form that was hashed."""
    found: list[dict[str, Any]] = []
    while page := deals.events_page(tx, deal_id, len(found), EVENTS_PAGE):
        for logged in page:
            found.append(_hashed(logged.event))
            if logged.event.event_type == "BIDS_REVEALED":
                return found
    return found


def _hashed(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "event_type": event.event_type,
        "deal_id": event.deal_id,
        "actor_id": event.actor_id,
        "timestamp": event.timestamp,
        "payload": json.loads(event.payload),
        "prev_hash": event.prev_hash,
        "hash": event.hash,
    }
