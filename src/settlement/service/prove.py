"""Forbidden writes, tried: what an intruder with the database's password would try, one by one.

For: `settlement prove-mover`, which hands in a scratch database with one settled deal.
Guarantees: every attempt is a transaction that is undone whatever became of it; before them comes
a control, a leg with nothing wrong, which must be accepted, so that the attempts made of it are not
refused for another reason. The layer named is looked up in the database's own catalogue.
Does not: touch the database it is not given.

Spec §5.6. Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from settlement.core.canonical import sha256_hex
from settlement.service.fresh import new_id
from settlement.store.database import ConstraintViolated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from settlement.store.database import Database, Row, Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One write that nobody may make: a query, and what is wrong with it."""

    title: str
    query: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of an attempt. `rule` None: it was accepted, which must not be."""

    title: str
    rule: str | None
    layer: str | None

    @property
    def refused(self) -> bool:
        """Whether the database refused it."""
        return self.rule is not None


class _Undone(Exception):
    """Ends a transaction that was accepted."""


class ControlRefused(Exception):
    """The write with nothing wrong was refused too, so the attempts would prove nothing."""


_PREFIXES: Final = {
    "unique: ": "unique index",
    "foreign_key": "foreign key",
    "not_null: ": "NOT NULL",
}


def prove(db: Database, settled_id: str, funded_id: str) -> list[Verdict]:
    """Try everything on two deals of a scratch database: one settled between two payees and paid
    out, one whose escrow is full. Raises ControlRefused.
    """
    base = db.read(lambda tx: tx.one("prove_base", deal_id=funded_id))
    control = _leg("a further leg, as it should be", base)
    refusal = _try(db, control)
    if refusal is not None:
        raise ControlRefused(f"{refusal}: the scratch database refuses what it should take")
    layers = db.read(lambda tx: tx.all("prove_layer_texts"))
    verdicts = []
    for attempt in attempts(db, settled_id, base):
        rule = _try(db, attempt)
        layer = None if rule is None else layer_of(rule, db.kind, layers)
        verdicts.append(Verdict(title=attempt.title, rule=rule, layer=layer))
    return verdicts


def _try(db: Database, attempt: Attempt) -> str | None:
    """The name of the rule that refused, or None."""

    def write(tx: Tx) -> NoReturn:
        changed = tx.run(attempt.query, **attempt.params)
        assert changed, f"{attempt.title}: met no row, so it proves nothing"
        raise _Undone

    try:
        db.transaction(write)
    except _Undone:
        return None
    except ConstraintViolated as refusal:
        return refusal.name
    raise AssertionError("a transaction that always raises came back")


def layer_of(rule: str, kind: str, texts: Sequence[Row]) -> str:
    """What in the database holds a rule: a check, a key, an index, or else a trigger."""
    for prefix, layer in _PREFIXES.items():
        if rule.startswith(prefix):
            return layer
    if kind == "postgres":
        named = (str(row["type"]) for row in texts if row["sql"] == rule)
        return next(named, "trigger")
    for row in texts:
        if row["type"] == "table" and f"CONSTRAINT {rule} " in row["sql"].replace("\n", " "):
            after = row["sql"].partition(f"CONSTRAINT {rule}")[2].lstrip()
            return "check" if after.startswith("CHECK") else "foreign key"
    return "trigger"


# --- the attempts --------------------------------------------------------------------------------


def _leg(title: str, base: Row, **wrong: Any) -> Attempt:
    """The base row once more as a further leg, with something wrong."""
    row = {**base, "transfer_id": new_id("xfer_"), "leg": base["leg"] + 1_000}
    return Attempt(title=title, query="prove_leg", params={**row, **wrong})


def attempts(db: Database, deal_id: str, base: Row) -> list[Attempt]:
    """Everything that is tried: on the settled deal, and with a leg of the funded one's payment."""
    settling = db.read(lambda tx: tx.one("prove_settling_tx", deal_id=deal_id))
    last = db.read(lambda tx: tx.one("prove_last_event", deal_id=deal_id))
    escrow = base["credit_ref"]
    return [
        _leg("create an amount of zero", base, amount_minor=0),
        _leg("create a negative amount", base, amount_minor=-base["amount_minor"]),
        _leg("pay an account from itself", base, debit_ref=escrow, debit_class="escrow"),
        _leg("change dollars into another asset", base, asset="USDC/6"),
        _leg("pass an account off as of another class", base, credit_class="agent"),
        _leg("use an account that does not exist", base, debit_ref="clearing:nowhere"),
        _leg("move money in a way that is not on the list", base, kind="topup"),
        _between_agents(db, deal_id, base),
        _leg(
            "take more out of an escrow than is in it",
            base,
            kind="refund",
            amount_minor=base["amount_minor"] + 1,
            debit_ref=escrow,
            debit_class="escrow",
            credit_ref=base["debit_ref"],
            credit_class=base["debit_class"],
        ),
        _leg("pay a seller outside a settlement", base, **_release(db, deal_id, base)),
        _leg("add a leg to a settlement that is done", base, **_settled_leg(settling, deal_id)),
        _leg("resolve a hold that is none", base, phase="post", hold_id="xfer_unknown"),
        Attempt(
            title="allow payments from agent to agent",
            query="prove_rule_between_agents",
            params={},
        ),
        Attempt(
            title="settle a deal a second time",
            query="prove_settlement_again",
            params={"deal_id": deal_id, "tx_id": base["tx_id"], "event_id": base["event_id"]},
        ),
        *_on_history(deal_id),
        *_on_chain(deal_id, last),
        *_on_effects(deal_id),
        Attempt(
            title="set a balance below zero",
            query="prove_account_overdrawn",
            params={"ref": escrow},
        ),
        Attempt(title="turn a deal back", query="prove_deal_rewound", params={"deal_id": deal_id}),
    ]


def _payees(db: Database, deal_id: str) -> list[str]:
    rows = db.read(lambda tx: tx.all("prove_parties", deal_id=deal_id))
    return [f"entity:{row['agent_id']}" for row in rows]


def _release(db: Database, deal_id: str, base: Row) -> dict[str, Any]:
    return {
        "kind": "release",
        "debit_ref": base["credit_ref"],
        "debit_class": "escrow",
        "credit_ref": _payees(db, deal_id)[0],
        "credit_class": "agent",
    }


def _settled_leg(settling: Row, deal_id: str) -> dict[str, Any]:
    return {**settling, "deal_id": deal_id, "credit_ref": f"escrow:{deal_id}"}


def _between_agents(db: Database, deal_id: str, base: Row) -> Attempt:
    first, second = _payees(db, deal_id)[:2]
    return _leg(
        "pay one agent from another",
        base,
        kind="escrow_fund",
        debit_ref=first,
        debit_class="agent",
        credit_ref=second,
        credit_class="agent",
    )


_HISTORY: Final = (
    ("change a transfer", "prove_transfer_changed"),
    ("delete a transfer", "prove_transfer_deleted"),
    ("change a ledger transaction", "prove_tx_changed"),
    ("change an event", "prove_event_changed"),
    ("delete an event", "prove_event_deleted"),
    ("change the log", "prove_log_changed"),
    ("change a receipt", "prove_receipt_changed"),
    ("change a settlement", "prove_settlement_changed"),
)


def _on_history(deal_id: str) -> list[Attempt]:
    found = [
        Attempt(title=title, query=query, params={"deal_id": deal_id}) for title, query in _HISTORY
    ]
    head = Attempt(title="change a signed tree head", query="prove_head_changed", params={})
    return [*found, head]


def _on_chain(deal_id: str, last: Row) -> list[Attempt]:
    def event(title: str, ahead: int, prev_hash: str, event_id: str) -> Attempt:
        params = {
            "deal_id": deal_id,
            "ahead": ahead,
            "event_id": event_id,
            "prev_hash": prev_hash,
            "hash": sha256_hex(title),
        }
        return Attempt(title=title, query="prove_event_added", params=params)

    return [
        event("leave a gap in a chain", 2, last["hash"], new_id("evt_")),
        event("fork a chain", 0, last["prev_hash"], new_id("evt_")),
        event("link an event to another hash", 1, sha256_hex("another"), new_id("evt_")),
        event("use an event id again", 1, last["hash"], last["event_id"]),
    ]


def _on_effects(deal_id: str) -> list[Attempt]:
    own = {"deal_id": deal_id}
    return [
        Attempt(title="write with a fence that is stale", query="prove_effect_stale", params=own),
        Attempt(title="reopen what is confirmed", query="prove_effect_reopened", params=own),
        Attempt(
            title="ask a rail twice for one obligation",
            query="prove_effect_again",
            params={**own, "effect_id": new_id("eff_")},
        ),
    ]
