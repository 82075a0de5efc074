"""What is owed to or by a rail, named so that two attempts at one thing have one name.

For: the operations that plan effects and the worker that calls the rail with `rail_key`.
Guarantees: an obligation counts proven refusals, never attempts or time, so a retry after a lost
answer reaches the rail under the key it already knows (spec §6.4).
Does not: look anything up; who plans an effect knows how often the rail has refused.

Change colour: red (a changed key is a second payment).
"""

from __future__ import annotations

from settlement.core.hashes import rail_key

__all__ = [
    "charge_obligation",
    "payment_obligation",
    "payout_obligation",
    "rail_key",
    "refund_obligation",
    "topup_obligation",
]


def charge_obligation(deal_id: str, refusals: int) -> str:
    """Collecting a deal's gross from its buyer."""
    return f"charge:{deal_id}:{refusals}"


def payout_obligation(deal_id: str, payee: str, refusals: int) -> str:
    """Sending one payee's whole net of one deal."""
    return f"payout:{deal_id}:{payee}:{refusals}"


def payment_obligation(deal_id: str, amount_minor: int) -> str:
    """The buyer's own payment of a deal's gross, at the rail's page; GO approves one gross."""
    return f"payment_link:{deal_id}:{amount_minor}"


def refund_obligation(claim_key: str) -> str:
    """Giving money back; repeatable, so named by the claim it was asked under."""
    return f"refund:{claim_key}"


def topup_obligation(topup_id: str) -> str:
    """Collecting one top-up; whoever asks anew after a refusal asks for another one."""
    return f"topup:{topup_id}"
