"""Loading what a batch of operations named: each noun in one statement, locks in one order.

For: the engine. `load_footprint` locks deals, effects, mandates; `load_needs` locks accounts before
it reads anything else, so that what hangs on an account (a seller's volume, a balance) cannot move
between the reading and the writing. On PostgreSQL rows are locked in key order; on SQLite the
writer is alone. Guarantees: every key asked for is in the state afterwards, with None or its
noun's empty value when there is no row; an empty list costs no statement.
Does not: decide, or read past what was named.
Change colour: red (the lock order is what keeps two writers from deadlock).
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from settlement.core.acceptance_rows import Acceptance
from settlement.core.api_keys import ApiKey
from settlement.core.mandate_rows import Mandate
from settlement.core.proof_rows import PACKS_MAX, ProofTotals
from settlement.core.reputation import score_hundredths
from settlement.core.rows import (
    Account,
    Agent,
    Claim,
    Deal,
    DealState,
    Destination,
    Effect,
    EffectKind,
    EffectState,
    Event,
    Payout,
    Receipt,
    Settlement,
    SettlementPayee,
)
from settlement.core.state import ChainHead, ReceiptSummary, SettlementView, VolumePoint
from settlement.store.agents import counting_outcomes
from settlement.store.exchange import load_exchange
from settlement.store.money_back import load_money

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from settlement.core.state import Footprint, Needs, State
    from settlement.store.database import Row, Tx

ClaimKey: TypeAlias = tuple[str, str, str]  # scope, operation, key


def load_footprint(tx: Tx, footprint: Footprint, state: State) -> None:
    """Lock and load deals, then effects, then mandates, each in id order."""
    if footprint.deals:
        deals = {deal.deal_id: deal for deal in map(_deal, _lock(tx, "deal_lock", footprint.deals))}
        for deal_id in footprint.deals:
            state.deals[deal_id] = deals.get(deal_id)
    if footprint.effects:
        found = map(_effect, _lock(tx, "effect_lock", footprint.effects))
        effects = {effect.effect_id: effect for effect in found}
        for effect_id in footprint.effects:
            state.effects[effect_id] = effects.get(effect_id)
    if footprint.mandates:
        rows = _lock(tx, "mandate_lock", footprint.mandates)
        mandates = {row["mandate_id"]: Mandate(**row) for row in rows}
        for mandate_id in footprint.mandates:
            state.mandates[mandate_id] = mandates.get(mandate_id)


def load_needs(tx: Tx, needs: Needs, state: State) -> None:
    """Lock and load accounts, then read everything else that was named."""
    of_money = load_money(tx, needs, state)
    _accounts(tx, sorted(of_money.union(needs.accounts)) if of_money else needs.accounts, state)
    _agents(tx, needs, state)
    _api_keys(tx, needs.api_keys, state)
    _chains(tx, needs.chains, state)
    _events(tx, needs.events, state)
    _receipts(tx, needs, state)
    _volumes(tx, needs.volumes, state)
    _payouts(tx, needs.payouts, state)
    _destinations(tx, needs.destinations, state)
    _settlements(tx, needs.settlements, state)
    _deal_parts(tx, needs, state)
    if needs.acceptances:
        found = tx.all("acceptance_by_ids", ids=list(needs.acceptances))
        reviews = {row["acceptance_id"]: Acceptance(**row) for row in found}
        for acceptance_id in needs.acceptances:
            state.acceptances[acceptance_id] = reviews.get(acceptance_id)
    load_exchange(tx, needs, state)
    for agent_id, asset in needs.scores:  # bidders, and deals whose policy asks for one
        outcomes = counting_outcomes(tx, agent_id, asset)
        state.scores[agent_id, asset] = score_hundredths(outcomes)


def load_claims(tx: Tx, keys: Sequence[ClaimKey]) -> dict[ClaimKey, Claim]:
    """Claims by (scope, operation, key); the derived claim that a sent key names comes along."""
    found = _claims(tx, keys)
    targets = {
        (claim.target_scope, claim.operation, claim.target_key)
        for claim in found.values()
        if claim.target_scope is not None and claim.target_key is not None
    }
    missing = sorted(targets - found.keys())
    return {**found, **_claims(tx, missing)} if missing else found


def _claims(tx: Tx, keys: Sequence[ClaimKey]) -> dict[ClaimKey, Claim]:
    if not keys:
        return {}
    rows = tx.all("claim_by_keys", **_by(keys, "scope", "operation", "key"))
    claims = (Claim(**row) for row in rows)
    return {(claim.scope, claim.operation, claim.key): claim for claim in claims}


def _lock(tx: Tx, query: str, ids: Iterable[str]) -> list[Row]:
    return tx.all(query, ids=sorted(ids))


def _by(keys: Sequence[tuple[Any, ...]], *names: str) -> dict[str, list[Any]]:
    """Composite keys as parameters: a list per part, and `keys` as a list of lists.

    PostgreSQL opens the former side by side; SQLite's json_each opens only one list at a time.
    """
    columns: list[list[Any]] = [list(column) for column in zip(*keys, strict=True)]
    return {**dict(zip(names, columns, strict=True)), "keys": [list(key) for key in keys]}


def _deal(row: Row) -> Deal:
    row["state"] = DealState(row["state"])
    return Deal(**row)


def _effect(row: Row) -> Effect:
    row["kind"] = EffectKind(row["kind"])
    row["state"] = EffectState(row["state"])
    return Effect(**row)


def _accounts(tx: Tx, keys: Sequence[tuple[str, str]], state: State) -> None:
    if not keys:
        return
    rows = tx.all("account_lock", **_by(sorted(keys), "ref", "asset"))
    found = {(row["ref"], row["asset"]): Account(**row) for row in rows}
    for key in keys:
        state.accounts[key] = found.get(key)


def _agents(tx: Tx, needs: Needs, state: State) -> None:
    if needs.agents:
        rows = tx.all("agent_by_ids", ids=list(needs.agents))
        agents = {row["agent_id"]: Agent(**row) for row in rows}
        for agent_id in needs.agents:
            state.agents[agent_id] = agents.get(agent_id)
    if needs.names:
        named: defaultdict[str, list[Agent]] = defaultdict(list)
        for row in tx.all("agent_by_names", names=list(needs.names)):
            named[row["name"]].append(Agent(**row))
        for name in needs.names:
            state.names[name] = tuple(named[name])


def _api_keys(tx: Tx, ids: Sequence[str], state: State) -> None:
    if not ids:
        return
    found = {row["key_id"]: ApiKey(**row) for row in tx.all("api_key_by_ids", ids=list(ids))}
    for key_id in {*ids, *found}:
        state.api_keys[key_id] = found.get(key_id)


def _chains(tx: Tx, ids: Sequence[str], state: State) -> None:
    if not ids:
        return
    found = {row["deal_id"]: row for row in tx.all("event_heads", ids=list(ids))}
    for deal_id in ids:
        row = found.get(deal_id)
        state.chains[deal_id] = (
            ChainHead()
            if row is None
            else ChainHead(version=row["version"] + 1, head_hash=row["hash"], at=row["timestamp"])
        )


def _events(tx: Tx, ids: Sequence[str], state: State) -> None:
    if not ids:
        return
    found = {row["event_id"]: Event(**row) for row in tx.all("event_by_ids", ids=list(ids))}
    for event_id in ids:
        state.events[event_id] = found.get(event_id)


def _receipts(tx: Tx, needs: Needs, state: State) -> None:
    if needs.receipts:
        counting: defaultdict[str, list[Row]] = defaultdict(list)
        for row in tx.all("receipt_counting", ids=list(needs.receipts)):
            counting[row["deal_id"]].append(row)
        for deal_id in needs.receipts:
            state.receipts[deal_id] = _summary(counting[deal_id])
    if needs.known_receipts:
        names = ("receipt_digest", "authority")
        rows = tx.all("receipt_by_digests", **_by(needs.known_receipts, *names))
        known = {(row["receipt_digest"], row["authority"]): Receipt(**row) for row in rows}
        for key in needs.known_receipts:
            state.known_receipts[key] = known.get(key)


def _summary(receipts: list[Row]) -> ReceiptSummary:
    # Compared as decimals, not as text: "1" is more than "0.95", and "0.9" equals "0.90".
    best = max(receipts, key=lambda row: Decimal(row["confidence"]), default=None)
    return ReceiptSummary(
        best_confidence=None if best is None else best["confidence"],
        providers=len({row["provider"] for row in receipts}),
    )


def _volumes(tx: Tx, keys: Sequence[tuple[str, str, str]], state: State) -> None:
    if not keys:
        return
    rows = tx.all("volume_entry_points", **_by(keys, "agent_id", "asset", "since"))
    found = {
        (row["agent_id"], row["asset"], row["since"]): VolumePoint(
            n=row["n"],
            at=row["at"],
            total_minor=row["total_minor"],
            before_window_minor=row["before_window_minor"] or 0,
        )
        for row in rows
    }
    for key in keys:
        state.volumes[key] = found.get(key, VolumePoint())


def _payouts(tx: Tx, keys: Sequence[tuple[str, str]], state: State) -> None:
    if not keys:
        return
    rows = tx.all("payout_by_payees", **_by(keys, "deal_id", "agent_id"))
    found = {(row["deal_id"], row["agent_id"]): Payout(**row) for row in rows}
    for key in keys:
        state.payouts[key] = found.get(key)


def _destinations(tx: Tx, keys: Sequence[tuple[str, str | None]], state: State) -> None:
    if not keys:
        return
    rows = tx.all("destination_by_owners", ids=sorted({owner for owner, _ in keys}))
    owned: defaultdict[str, list[Destination]] = defaultdict(list)
    for row in rows:
        owned[row["owner_id"]].append(Destination(**row))
    for owner, named in keys:
        state.destinations[owner, named] = tuple(
            destination
            for destination in owned[owner]
            if named in (None, destination.destination_id)
        )


def _settlements(tx: Tx, ids: Sequence[str], state: State) -> None:
    if not ids:
        return
    settlements = {
        row["deal_id"]: Settlement(**row) for row in tx.all("settlement_by_deals", ids=list(ids))
    }
    payees: defaultdict[str, list[SettlementPayee]] = defaultdict(list)
    if settlements:
        for row in tx.all("settlement_payee_by_deals", ids=list(settlements)):
            payees[row["deal_id"]].append(SettlementPayee(**row))
    for deal_id in ids:
        settlement = settlements.get(deal_id)
        state.settlements[deal_id] = (
            None
            if settlement is None
            else SettlementView(settlement=settlement, payees=tuple(payees[deal_id]))
        )


def _deal_parts(tx: Tx, needs: Needs, state: State) -> None:
    if needs.parties:
        parties: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        for row in tx.all("party_by_deals", ids=list(needs.parties)):
            parties[row["deal_id"]].add((row["agent_id"], row["role"]))
        for deal_id in needs.parties:
            state.parties[deal_id] = frozenset(parties[deal_id])
    if needs.proofs:
        rows = tx.all("proof_totals", ids=list(needs.proofs), most=PACKS_MAX)
        totals = {
            row["deal_id"]: ProofTotals(n=row["n"], size_bytes=row["size_bytes"]) for row in rows
        }
        for deal_id in needs.proofs:
            state.proofs[deal_id] = totals.get(deal_id, ProofTotals())
