"""What became of a call: look-ups of idempotency keys (spec §6.3, contract §2.9, §3.9).

Guarantees: a derived key is found by anybody, because it was handed out and can be recomputed, but
its outcome is shown to the same principal, a party or an operator only; a key that a caller chose
is found by that caller alone. What a stranger may not see does not exist.
Does not: finish or repeat anything.

Change colour: amber (visibility).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from settlement.core.errors import ClaimNotFound
from settlement.store import claims as rows
from settlement.store.deals import is_party
from settlement.store.lease_clock import shown

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Claim
    from settlement.service.answers import ClaimKey
    from settlement.store.claims import ClaimEffect
    from settlement.store.database import Database, Tx

DERIVED_PREFIX: Final = "idem_"
_DEAL_SCOPE: Final = "deal:"

_ADVICE: Final = {
    "done": "It happened; sending it again with the same key gives the same answer.",
    "running": "It is under way. Wait, or send it again with the same key; do not pay again.",
    "unknown": (
        "The rail has not said whether it happened. It will be asked until it does; do not pay"
        " again, by no other means either."
    ),
}
_RETRY: Final = {"done": "never", "running": "same_key", "unknown": "same_key"}


def _is_derived(claim: Claim) -> bool:
    return claim.scope.startswith(_DEAL_SCOPE)


def _may_see_outcome(tx: Tx, claim: Claim, caller: Principal) -> bool:
    if caller.is_operator:
        return True
    if caller.agent_id is None:
        return False
    if claim.principal == caller.agent_id:
        return True
    return claim.deal_id is not None and is_party(tx, claim.deal_id, caller.agent_id)


def _find(tx: Tx, key: str, caller: Principal) -> Claim:
    """The claim of this key that the caller may know of; raises ClaimNotFound."""
    for claim in rows.claims_of_key(tx, key):
        own = caller.agent_id is not None and claim.scope == caller.agent_id
        if _is_derived(claim) or own or caller.is_operator:
            return claim
    raise ClaimNotFound()


def _deciding(tx: Tx, claim: Claim) -> Claim:
    """A sent key may be a second name: the derived claim then holds state and outcome."""
    if claim.target_scope is None or claim.target_key is None:
        return claim
    target = rows.find_claim(tx, claim.target_scope, claim.operation, claim.target_key)
    return target or claim


def _state(claim: Claim, effect: ClaimEffect | None) -> str:
    if claim.state == "done":
        return "done"
    return "unknown" if effect is not None and effect.state == "unknown" else "running"


def lookup(db: Database, key: str, caller: Principal) -> dict[str, Any]:
    """State of a key, with the outcome for those who may see it; raises ClaimNotFound."""

    def read(tx: Tx) -> dict[str, Any]:
        named = _find(tx, key, caller)
        claim = _deciding(tx, named)
        members: dict[str, Any] = {
            "key": named.key,
            "operation": claim.operation,
            "deal_id": claim.deal_id,
            "state": _state(claim, rows.find_effect(tx, claim)),
            "first_seen": claim.first_seen,
        }
        if claim.outcome is not None and _may_see_outcome(tx, claim, caller):
            members["outcome"] = msgspec.json.decode(claim.outcome)
        return members

    return db.read(read)


def claim_view(db: Database, key: str, caller: Principal) -> dict[str, Any]:
    """The whole of a claim, for its principal, a party or an operator; raises ClaimNotFound."""

    def read(tx: Tx) -> dict[str, Any]:
        named = _find(tx, key, caller)
        claim = _deciding(tx, named)
        if not _may_see_outcome(tx, claim, caller):
            raise ClaimNotFound()
        effect = rows.find_effect(tx, claim)
        state = _state(claim, effect)
        lease_us = effect.lease_expires_us if effect is not None else None
        return {
            "key": named.key,
            "scope": claim.scope,
            "operation": claim.operation,
            "deal_id": claim.deal_id,
            "state": state,
            "phase": claim.phase,
            "fence": claim.fence,
            "lease_expires_at": shown(tx, lease_us) if lease_us is not None else None,
            "first_seen": claim.first_seen,
            "finished_at": claim.finished_at,
            "effect": _effect_view(effect),
            "retry": _RETRY[state],
            "advice": _ADVICE[state],
        }

    return db.read(read)


def _effect_view(effect: ClaimEffect | None) -> dict[str, Any] | None:
    if effect is None:
        return None
    return {
        "obligation_key": effect.obligation_key,
        "state": effect.state,
        "rail": effect.rail,
        "rail_ref": effect.rail_ref,
        "asked_at": effect.asked_at,
    }


def running_state(db: Database, key: ClaimKey) -> str:
    """How a running call stands: `pending`, or `outcome_unknown` while its rail is silent."""

    def read(tx: Tx) -> str:
        claim = rows.find_claim(tx, *key)
        effect = rows.find_effect(tx, _deciding(tx, claim)) if claim is not None else None
        unknown = effect is not None and effect.state == "unknown"
        return "outcome_unknown" if unknown else "pending"

    return db.read(read)


def stats(db: Database) -> dict[str, Any]:
    """Figures for people; counted up to a limit."""

    def read(tx: Tx) -> dict[str, Any]:
        return {
            "backend": db.kind,
            "keys_cached": rows.count_known(tx),
            "running": rows.count_running(tx),
            "counted_up_to": rows.COUNTED_MAX,
            "persistent": True,
        }

    return db.read(read)
