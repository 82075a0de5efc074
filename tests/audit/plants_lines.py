"""Violations between the books and what rails say they moved (check 32), as in `plants.py`."""

from __future__ import annotations

from tests.audit.plants import _plant

_CHARGE = "rail_ref = (SELECT rail_ref FROM effect WHERE deal_id = '<paid>' AND kind = 'charge')"
_PAYOUT = "rail_ref = (SELECT rail_ref FROM effect WHERE deal_id = '<paid>' AND kind = 'payout')"
_REFUND = (
    "rail_ref = (SELECT rail_ref FROM effect WHERE deal_id = '<refunded>' AND kind = 'refund')"
)


def _copy_of(where: str, line_id: str, kind: str, rail_ref: str, key: str) -> str:
    return (
        f"INSERT INTO rail_line SELECT rail, {line_id}, statement_id, {kind}, asset, amount_minor,"
        f" {rail_ref}, {key}, occurred_at FROM rail_line WHERE {where}"
    )


PLANTS = (
    _plant(
        32,
        "a charge at the rail that nobody booked",
        "nothing in the books belongs to it",
        _copy_of(_CHARGE, "'line_x'", "kind", "'ref_x'", "NULL"),
    ),
    _plant(
        32,
        "a charge of an obligation that is nobody's",
        "nothing in the books belongs to it",
        _copy_of(_CHARGE, "'line_x'", "kind", "'ref_x'", "'charge:deal_x:0'"),
    ),
    _plant(
        32,
        "a second payout beside the one whose outcome is open",
        "nothing in the books belongs to it",
        "UPDATE rail_line SET obligation_key = NULL WHERE kind = 'payout'"
        " AND obligation_key LIKE '%<split>%'",
        "INSERT INTO rail_line SELECT l.rail, 'line_x', l.statement_id, l.kind, l.asset,"
        " l.amount_minor, 'ref_x', NULL, l.occurred_at FROM rail_line AS l"
        " LEFT JOIN effect AS f ON f.rail_ref = l.rail_ref"
        " WHERE l.kind = 'payout' AND f.effect_id IS NULL",
    ),
    _plant(
        32,
        "a booked charge that the rail does not list",
        "has no line of it",
        f"DELETE FROM rail_line WHERE {_CHARGE}",
    ),
    _plant(
        32,
        "a booked payout that the rail does not list",
        "has no line of it",
        f"DELETE FROM rail_line WHERE {_PAYOUT}",
    ),
    _plant(
        32,
        "a refund that the rail lists as a payout",
        "has no line of it",
        f"UPDATE rail_line SET kind = 'payout' WHERE {_REFUND}",
    ),
    _plant(
        32,
        "a charge of another amount at the rail",
        "other money",
        f"UPDATE rail_line SET amount_minor = amount_minor + 1 WHERE {_CHARGE}",
    ),
    _plant(
        32,
        "a charge in another asset at the rail",
        "other money",
        f"UPDATE rail_line SET asset = 'EUR/2' WHERE {_CHARGE}",
    ),
    _plant(
        32,
        "a charge that the rail made twice under one name",
        "more than one line",
        _copy_of(_CHARGE, "'line_x'", "kind", "rail_ref", "NULL"),
    ),
    _plant(
        32,
        "a payout that arrived and is in transit still",
        "is in transit",
        "UPDATE transfer SET kind = 'gone' WHERE kind = 'payout_settled'",
        "DELETE FROM transfer WHERE kind = 'gone'",
    ),
    _plant(
        32,
        "a charge answered and listed, and not in the ledger",
        "not what statements say",
        "UPDATE transfer SET debit_class = 'agent' WHERE kind = 'charge' AND deal_id = '<paid>'",
    ),
)
