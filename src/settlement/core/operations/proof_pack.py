"""Prove work: make or renew a deal's proof pack, which quotes a price and locks the scope.

For: POST /protocol/proof-pack and /protocol/stamp.
Guarantees: a new pack voids the old quote; what was quoted is hashed twice, in the published form
(H3) and in the strong one; a pack made without a key makes an `open` deal.
Does not: approve or move anything.

Spec §4.3, §4.4. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.canonical import sha256_hex
from settlement.core.clock import DAY_US, time_text
from settlement.core.deal import check_transition
from settlement.core.errors import AwardRequired, PacksSpent, PartyMismatch
from settlement.core.events import Actor
from settlement.core.hashes import ScopeTerms, proof_digest, scope_digest, scope_lock_hash
from settlement.core.ids import AgentId, DealId, check_hash, check_name, check_slug
from settlement.core.money import Asset
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    SELLER,
    acting_id,
    add_party,
    authority_of,
    chain_of,
    empty_deal,
    own_key,
    shown_seller,
)
from settlement.core.policy import read_policy
from settlement.core.proof_rows import PACKS_BYTES_MAX, PACKS_MAX, texts_bytes
from settlement.core.rows import DealState, Proof
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.core.canonical import Json
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofPack:
    """A proof of work and the price asked for it."""

    name: ClassVar[str] = "proof_pack"

    principal: Principal
    sent_key: str | None = None
    deal_id: str | None = None
    new_deal_id: str  # used when no deal is named
    quote_id: str  # fresh random bearer secret
    agent_username: str
    vertical: str = "marketing"
    sku_id: str = ""
    proof_type: str = "completion_photo"
    proof_data: Mapping[str, Json] = field(default_factory=dict)
    proof_data_text: str = "{}"
    attachment_url: str | None = None
    scope_summary: str = ""
    parent_proof_ids: tuple[str, ...] = ()
    proof_hash: str | None = None
    price_minor: int | None = None
    policy: str = "[]"

    def call(self) -> Call:
        """Repeatable, so only a sent key is remembered."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            deal_id=self._target(),
        )

    def _target(self) -> str:
        return self.deal_id or self.new_deal_id

    def footprint(self) -> Footprint:
        """The deal, be it new."""
        return Footprint(deals=(self._target(),))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """All that the caller named; ids we drew are no arguments."""
        named: dict[str, Any] = {
            "deal_id": self.deal_id,
            "agent_username": self.agent_username,
            "vertical": self.vertical,
            "sku_id": self.sku_id,
            "proof_type": self.proof_type,
            "proof_data": sha256_hex(self.proof_data_text),
            "attachment_url": self.attachment_url,
            "scope_summary": self.scope_summary,
            "parent_proof_ids": list(self.parent_proof_ids) or None,
            "proof_hash": self.proof_hash,
            "price_minor": self.price_minor,
            "policy": None if self.policy == "[]" else sha256_hex(self.policy),
        }
        return {name: value for name, value in named.items() if value is not None}

    def needs(self, state: State, ctx: Context) -> Needs:
        """The named seller and the count of proofs so far."""
        proofs = (self._target(),)
        if own_key(self.principal) is not None:
            return Needs(proofs=proofs)
        if self.agent_username.startswith(AgentId.prefix):
            return Needs(proofs=proofs, agents=(self.agent_username,))
        return Needs(proofs=proofs, names=(self.agent_username,))

    def decide(self, state: State, ctx: Context) -> Decision:
        """Write the proof, the quote and PROOF_READY."""
        # 5 schema, once more: the fields joined by `|` under H3 rely on these alphabets.
        policy = read_policy(self.policy)
        self._check_form()
        # 9 existence: a deal that is not there is made
        deal = state.deals[self._target()]
        seller_id = self._seller(state)
        # 10 party
        if deal is not None:
            self._check_party(deal, seller_id)
            # 11 state
            check_transition(deal, self.name)
            if deal.intent_id is not None and not deal.price_minor:
                # Else a pack at any price could take the deal before its bids are opened.
                raise AwardRequired(deal_id=deal.deal_id, intent_id=deal.intent_id)
            self._check_room(deal, state)
        # 12 amount
        price_minor = self._price(deal, ctx)

        # ---- point of no return: construction and asserts only
        pack = self._pack(deal, policy.hash, price_minor, ctx)
        writes = WriteSet()
        opened = deal or self._new_deal(ctx)
        chain = chain_of(opened, ctx, writes)
        quoted = replace(opened, **self._quoted(opened, seller_id, pack, ctx))
        chain.append(
            "PROOF_READY",
            Actor(
                actor_id=acting_id(self.principal, self.agent_username),
                authority=authority_of(self.principal),
                role=SELLER,
            ),
            self._payload(quoted),
            counterparty_id=quoted.buyer_id or quoted.buyer_label or None,
        )
        written = replace(quoted, version=chain.version, head_hash=chain.head_hash)
        (writes.deals_changed if deal is not None else writes.deals_new).append(written)
        writes.proofs.append(self._proof(state.proofs[written.deal_id].n, written, ctx))
        add_party(writes, written.deal_id, written.seller_id, SELLER)
        return Decision(result=self._result(written), writes=writes)

    # --- checks ----------------------------------------------------------------------------------

    def _check_form(self) -> None:
        DealId.parse(self._target(), "deal_id")
        check_name(self.agent_username, "agent_username")
        check_slug(self.vertical, "vertical")
        check_slug(self.sku_id, "sku_id")
        check_name(self.proof_type, "proof_type")
        if self.proof_hash is not None:
            check_hash(self.proof_hash, "proof_hash")
        for parent in self.parent_proof_ids:
            deal_id, colon, proof = parent.partition(":")
            DealId.parse(deal_id, "parent_proof_ids")
            if colon:
                check_name(proof, "parent_proof_ids")

    def _seller(self, state: State) -> str | None:
        """The registered agent who sells: the key's own, or the only one of that id or name."""
        own = own_key(self.principal)
        if own is not None:
            return own
        if self.agent_username.startswith(AgentId.prefix):
            agent = state.agents[self.agent_username]
            return agent.agent_id if agent is not None else None
        bearers = state.names[self.agent_username]
        return bearers[0].agent_id if len(bearers) == 1 else None

    def _check_party(self, deal: Deal, seller_id: str | None) -> None:
        """The seller renews a pack; on an open deal anyone, but for the same seller."""
        own = own_key(self.principal)
        if not deal.open and not self.principal.is_operator and own != deal.seller_id:
            raise PartyMismatch(deal_id=deal.deal_id)
        if deal.seller_id is not None and seller_id != deal.seller_id:
            raise PartyMismatch(deal_id=deal.deal_id)
        awarded = deal.intent_id is not None and bool(deal.seller_label)
        if awarded and deal.seller_id is None and self.agent_username != deal.seller_label:
            # An award to a name that is no agent is that name's, and nobody else's.
            raise PartyMismatch(deal_id=deal.deal_id)

    def _check_room(self, deal: Deal, state: State) -> None:
        """A deal's packs have an end, for whoever exports the deal has all of them in memory."""
        so_far = state.proofs[deal.deal_id]
        texts = (self.proof_data_text, json.dumps(list(self.parent_proof_ids)), self.attachment_url)
        size_bytes = so_far.size_bytes + texts_bytes(*texts)
        if so_far.n >= PACKS_MAX or size_bytes > PACKS_BYTES_MAX:
            raise PacksSpent(
                deal_id=deal.deal_id,
                packs=so_far.n,
                size_bytes=so_far.size_bytes,
                packs_max=PACKS_MAX,
                bytes_max=PACKS_BYTES_MAX,
            )

    def _price(self, deal: Deal | None, ctx: Context) -> int:
        """Winning bid, else the price named, else the configured one, else the default."""
        if deal is not None and deal.intent_id is not None and deal.price_minor > 0:
            return deal.price_minor
        if self.price_minor is not None:
            return self.price_minor
        rules = ctx.rules
        return rules.prices.get((self.vertical, self.sku_id), rules.default_price_minor)

    # --- construction ----------------------------------------------------------------------------

    def _pack(self, deal: Deal | None, policy: str, price_minor: int, ctx: Context) -> ScopeTerms:
        digest = self.proof_hash or proof_digest(
            self.proof_type, self.proof_data, self.attachment_url
        )
        return ScopeTerms(
            vertical=self.vertical,
            sku_id=self.sku_id,
            scope_summary=self.scope_summary,
            price_minor=price_minor,
            asset=Asset.parse(deal.asset if deal is not None else ctx.rules.default_asset),
            policy_hash=policy,
            proof_hash=digest,
        )

    def _new_deal(self, ctx: Context) -> Deal:
        return empty_deal(
            self._target(),
            asset=ctx.rules.default_asset,
            is_open=own_key(self.principal) is None and not self.principal.is_operator,
            now=ctx.now,
        )

    def _quoted(
        self, deal: Deal, seller_id: str | None, pack: ScopeTerms, ctx: Context
    ) -> dict[str, Any]:
        expires_us = ctx.now_us + ctx.rules.quote_days * DAY_US
        bound = deal.seller_id is not None
        return {
            "state": DealState.PROOF_READY,
            "seller_id": deal.seller_id or seller_id,
            "seller_label": deal.seller_label if bound else self.agent_username,
            "vertical": pack.vertical,
            "sku_id": pack.sku_id,
            "proof_type": self.proof_type,
            "proof_hash": pack.proof_hash,
            "scope_summary": pack.scope_summary,
            "scope_lock_hash": scope_lock_hash(pack).wire,
            "scope_digest": scope_digest(pack),
            "policy": self.policy,
            "policy_hash": pack.policy_hash,
            "price_minor": pack.price_minor,
            "quote_digest": sha256_hex(self.quote_id),
            "quote_expires_at": time_text(expires_us),
            # What was under review, or rejected, is not this pack.
            "acceptance_id": None,
            "acceptance_state": None,
            "updated_at": ctx.now,
        }

    def _payload(self, deal: Deal) -> dict[str, Json]:
        payload: dict[str, Json] = {
            "asset": deal.asset,
            "proof_hash": deal.proof_hash,
            "proof_type": deal.proof_type,
            "vertical": deal.vertical,
            "sku_id": deal.sku_id,
            "scope_lock_hash": deal.scope_lock_hash,
            "scope_digest": deal.scope_digest,
            "price_minor": deal.price_minor,
            "policy_hash": deal.policy_hash,
            "seller": shown_seller(deal),
        }
        if self.parent_proof_ids:
            payload["parent_proof_ids"] = list(self.parent_proof_ids)
        return payload

    def _proof(self, n: int, deal: Deal, ctx: Context) -> Proof:
        return Proof(
            deal_id=deal.deal_id,
            n=n,
            proof_type=deal.proof_type,
            proof_hash=deal.proof_hash,
            proof_data=self.proof_data_text,
            attachment_url=self.attachment_url,
            parent_proof_ids=json.dumps(list(self.parent_proof_ids)),
            agent=shown_seller(deal),
            created_at=ctx.now,
        )

    def _result(self, deal: Deal) -> dict[str, Any]:
        return {
            "deal_id": deal.deal_id,
            "quote_id": self.quote_id,
            "quote_expires_at": deal.quote_expires_at,
            "proof_hash": deal.proof_hash,
            "scope_lock_hash": deal.scope_lock_hash,
            "scope_digest": deal.scope_digest,
            "policy_hash": deal.policy_hash,
            "asset": deal.asset,
            "estimated_price_minor": deal.price_minor,
            "parent_proof_ids": list(self.parent_proof_ids),
            "seller": shown_seller(deal),
            "status": deal.state.value,
        }
