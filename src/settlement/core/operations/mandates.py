"""Mandates: a buyer says what may be approved without being asked, and takes it back.

For: POST /protocol/mandates and /protocol/mandates/{id}/revoke.
Guarantees: a reserve leaves the buyer's balance in the transaction that makes the mandate, and what
is left of it comes back in the one that ends it; only the buyer's own key puts money aside.
Does not: spend; `auto_go.py` does. A reserve never grows: a second mandate stands beside the first.

Spec §4.7, §5.2. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from settlement.core.accounts import agent_account, available, mandate_account
from settlement.core.clock import SECOND_US, time_text
from settlement.core.errors import AgentNotFound, InsufficientFunds, MandateNotFound, NotOwner
from settlement.core.events import Actor, Chain
from settlement.core.ids import system_stream
from settlement.core.ledger import Books
from settlement.core.mandate_rows import ACTIVE, REVOKED, Mandate
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import BUYER, acting_id, authority_of, own_key
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.canonical import Json
    from settlement.core.ledger import Tx
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal

_EXPIRED: Final = "expired"


def mandate_result(mandate: Mandate, available_minor: int, now: str) -> dict[str, Any]:
    """A mandate as answered. A mandate past its time says so, though no row was changed."""
    expired = mandate.expires_at is not None and mandate.expires_at <= now
    return {
        "mandate_id": mandate.mandate_id,
        "buyer_id": mandate.buyer_id,
        "asset": mandate.asset,
        "max_amount_per_deal_usd_minor": mandate.max_amount_minor,
        "allowed_verticals": json.loads(mandate.allowed_verticals),
        "confidence_threshold": mandate.confidence_threshold,
        "reserve_minor": mandate.reserve_minor,
        "reserve_available_minor": None if mandate.reserve_minor is None else available_minor,
        "status": _EXPIRED if expired and mandate.status == ACTIVE else mandate.status,
        "expires_at": mandate.expires_at,
        "created_at": mandate.created_at,
        "revoked_at": mandate.revoked_at,
    }


@dataclass(slots=True, kw_only=True)
class _Writing:
    """The mandate's own stream and books while one decision writes to them."""

    mandate: Mandate
    state: State
    ctx: Context
    by: Actor
    writes: WriteSet

    def tx(self) -> Tx:
        books = Books(
            accounts=self.state.accounts,
            ctx=self.ctx,
            writes=self.writes,
            deal_id=system_stream(self.mandate.mandate_id),
            asset=self.mandate.asset,
        )
        return books.begin()

    def append(self, event_type: str, payload: dict[str, Json], tx: Tx | None) -> None:
        """The event, with its legs when money moved."""
        stream = system_stream(self.mandate.mandate_id)
        head = self.state.chains[stream]
        chain = Chain(
            deal_id=stream,
            version=head.version,
            head_hash=head.head_hash,
            ctx=self.ctx,
            writes=self.writes,
        )
        named: dict[str, Json] = {
            "mandate_id": self.mandate.mandate_id,
            "buyer": self.mandate.buyer_id,
            "asset": self.mandate.asset,
            **payload,
        }
        if tx is None:
            chain.append(event_type, self.by, named)
            return
        event = chain.append(event_type, self.by, {**named, **tx.facts()}, event_id=tx.event_id)
        tx.book(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateMandate:
    """A new mandate. `mandate_id` is drawn by the caller of decide and ignored on replay."""

    name: ClassVar[str] = "create_mandate"

    principal: Principal
    sent_key: str | None = None
    mandate_id: str
    buyer_id: str
    asset: str
    max_amount_minor: int
    allowed_verticals: str
    confidence_threshold: str
    reserve_minor: int | None = None
    valid_seconds: int | None = None

    def call(self) -> Call:
        """Only a sent key makes two calls one."""
        return Call(principal=self.principal, operation=self.name, sent_key=self.sent_key)

    def footprint(self) -> Footprint:
        """Nothing exists yet."""
        return Footprint()

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """What the buyer allows."""
        return {
            "buyer_id": self.buyer_id,
            "asset": self.asset,
            "max_amount_minor": self.max_amount_minor,
            "allowed_verticals": self.allowed_verticals,
            "confidence_threshold": self.confidence_threshold,
            "reserve_minor": self.reserve_minor,
            "valid_seconds": self.valid_seconds,
        }

    def needs(self, state: State, ctx: Context) -> Needs:
        """The buyer, and both accounts when money is put aside."""
        refs: tuple[str, ...] = ()
        if self.reserve_minor is not None:
            mandate = mandate_account(self.mandate_id, self.buyer_id)
            refs = (agent_account(self.buyer_id).ref, mandate.ref)
        return Needs(
            agents=(self.buyer_id,),
            chains=(system_stream(self.mandate_id),),
            accounts=tuple((ref, self.asset) for ref in refs),
        )

    def decide(self, state: State, ctx: Context) -> Decision:
        """Write the mandate, its event and its reserve."""
        # 9 existence
        if state.agents[self.buyer_id] is None:
            raise AgentNotFound(agent_id=self.buyer_id)
        # 10 party: an operator may write a mandate down, but puts nobody's money aside
        own = own_key(self.principal)
        if own != self.buyer_id and (self.reserve_minor or not self.principal.is_operator):
            raise NotOwner(owner_id=self.buyer_id)
        # 13 funds
        if self.reserve_minor is not None:
            self._check_funds(state, self.reserve_minor)

        # ---- point of no return: construction and asserts only
        mandate = self._mandate(ctx)
        writes = WriteSet(mandates_new=[mandate])
        writing = _Writing(
            mandate=mandate,
            state=state,
            ctx=ctx,
            by=Actor(
                actor_id=acting_id(self.principal, self.buyer_id),
                authority=authority_of(self.principal),
                role=BUYER,
            ),
            writes=writes,
        )
        tx = None
        if mandate.reserve_minor is not None:
            tx = writing.tx()
            buyer, put_aside = agent_account(self.buyer_id), self._account()
            tx.add("mandate_reserve", buyer, put_aside, mandate.reserve_minor)
        writing.append(
            "MANDATE_CREATED",
            {
                "max_amount_minor": mandate.max_amount_minor,
                "allowed_verticals": json.loads(mandate.allowed_verticals),
                "confidence_threshold": mandate.confidence_threshold,
                "reserve_minor": mandate.reserve_minor,
                "expires_at": mandate.expires_at,
            },
            tx,
        )
        result = mandate_result(mandate, mandate.reserve_minor or 0, ctx.now)
        return Decision(result=result, writes=writes)

    def _account(self) -> Any:
        return mandate_account(self.mandate_id, self.buyer_id)

    def _check_funds(self, state: State, reserve_minor: int) -> None:
        ref = agent_account(self.buyer_id).ref
        available_minor = available(state.accounts[ref, self.asset])
        if available_minor < reserve_minor:
            raise InsufficientFunds(
                account=ref, available_minor=available_minor, needed_minor=reserve_minor
            )

    def _mandate(self, ctx: Context) -> Mandate:
        seconds = self.valid_seconds
        return Mandate(
            mandate_id=self.mandate_id,
            buyer_id=self.buyer_id,
            asset=self.asset,
            max_amount_minor=self.max_amount_minor,
            allowed_verticals=self.allowed_verticals,
            confidence_threshold=self.confidence_threshold,
            reserve_minor=self.reserve_minor,
            status=ACTIVE,
            expires_at=None if seconds is None else time_text(ctx.now_us + seconds * SECOND_US),
            created_at=ctx.now,
            revoked_at=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeMandate:
    """The end of a mandate; asked again, it returns what a refund has brought back since."""

    name: ClassVar[str] = "revoke_mandate"

    principal: Principal
    sent_key: str | None = None
    mandate_id: str

    def call(self) -> Call:
        """Needs no key to be safe: it gives back what is there, which is there once."""
        return Call(principal=self.principal, operation=self.name, sent_key=self.sent_key)

    def footprint(self) -> Footprint:
        """The mandate: locked, so a spend is either before the end or refused."""
        return Footprint(mandates=(self.mandate_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Which."""
        return {"mandate_id": self.mandate_id}

    def needs(self, state: State, ctx: Context) -> Needs:
        """Its stream, its account and the buyer's."""
        mandate = state.mandates[self.mandate_id]
        if mandate is None:
            return Needs()
        refs = (mandate_account(self.mandate_id, "").ref, agent_account(mandate.buyer_id).ref)
        return Needs(
            chains=(system_stream(self.mandate_id),),
            accounts=tuple((ref, mandate.asset) for ref in refs),
        )

    def decide(self, state: State, ctx: Context) -> Decision:
        """End it and return the rest of its reserve."""
        # 9 existence, 10 party: another buyer's mandate does not exist
        mandate = state.mandates[self.mandate_id]
        own = own_key(self.principal)
        if mandate is None or not (self.principal.is_operator or own == mandate.buyer_id):
            raise MandateNotFound(mandate_id=self.mandate_id)
        account = mandate_account(mandate.mandate_id, mandate.buyer_id)
        left_minor = available(state.accounts[account.ref, mandate.asset])
        if mandate.status == REVOKED and not left_minor:
            result = {**mandate_result(mandate, 0, ctx.now), "returned_minor": 0}
            return Decision(result=result, writes=WriteSet())

        # ---- point of no return: construction and asserts only
        ended = replace(mandate, status=REVOKED, revoked_at=mandate.revoked_at or ctx.now)
        writes = WriteSet(mandates_changed=[ended])
        role = BUYER if own == mandate.buyer_id else "operator"
        writing = _Writing(
            mandate=ended,
            state=state,
            ctx=ctx,
            by=Actor(
                actor_id=acting_id(self.principal, None),
                authority=authority_of(self.principal),
                role=role,
            ),
            writes=writes,
        )
        tx = None
        if left_minor:
            tx = writing.tx()
            tx.add("mandate_return", account, agent_account(mandate.buyer_id), left_minor)
        writing.append("MANDATE_REVOKED", {"returned_minor": left_minor}, tx)
        result = {**mandate_result(ended, 0, ctx.now), "returned_minor": left_minor}
        return Decision(result=result, writes=writes)
