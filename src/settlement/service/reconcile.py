"""After a restore: ask every rail about every open effect, and about what it knows and we do not.

For: `settlement reconcile`.
Guarantees: rails are only asked, nothing is sent or booked here; the parking is lifted only when
every open effect has an answer, and that is recorded. What a rail holds and our books do not is
named, with whether its deal exists: there the client's own repeat finds it, because after a
recovery every obligation is asked about before it is sent.
Does not: book what rails say. The worker does, as it always does, once the parking is lifted.

Spec §17.2. Change colour: red.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from settlement.core.canonical import k_bytes, sha256_hex
from settlement.core.clock import SECOND_US, parse_time
from settlement.core.obligations import rail_key
from settlement.core.rail import Listing, RailSilent
from settlement.service.recovery import record
from settlement.store import recovery as rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from settlement.core.rail import Rail, RailRecord
    from settlement.store.database import Database, Row, Tx
    from settlement.store.recovery import Recovery

PAGE: Final = 200
#: A rail's clock and ours may differ; what is listed twice is found in our books and passed over.
MARGIN_SECONDS: Final = 3600
#: A rail's word for a state -> ours that agree with it. An open effect agrees with both.
_AGREES: Final = {"confirmed": "confirmed", "refused": "refused"}
_OPEN: Final = frozenset({"planned", "sent", "unknown"})


@dataclass(slots=True, kw_only=True)
class Report:
    """What was asked and what was found; `complete` when every question has an answer."""

    recovery_epoch: int
    lost_since: str | None
    asked: Counter[str] = field(default_factory=Counter)
    silent: list[dict[str, Any]] = field(default_factory=list)
    strangers: list[dict[str, Any]] = field(default_factory=list)
    contradictions: list[dict[str, Any]] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    unparked: bool = False

    @property
    def complete(self) -> bool:
        """Nobody was silent."""
        return not self.silent

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "ok": self.complete,
            "recovery_epoch": self.recovery_epoch,
            "lost_since": self.lost_since,
            "asked": dict(sorted(self.asked.items())),
            "silent": self.silent,
            "strangers": self.strangers,
            "contradictions": self.contradictions,
            "unlisted": self.unlisted,
            "unparked": self.unparked,
        }


def reconcile(
    db: Database,
    rails: Mapping[str, Rail],
    operator: str,
    asked: Callable[[int], None] = lambda _effects: None,
) -> Report:
    """Ask, and lift the parking if all has been answered."""
    recovery = db.read(rows.read_recovery)
    report = Report(recovery_epoch=recovery.epoch, lost_since=recovery.lost_since)
    _ask_all(db, rails, report, asked)
    for name in sorted(rails):
        _compare_list(db, name, rails[name], recovery, report)
    if report.complete and recovery.parked:
        report.unparked = db.transaction(lambda tx: _unpark(tx, report, operator))
    return report


def _ask_all(
    db: Database, rails: Mapping[str, Rail], report: Report, asked: Callable[[int], None]
) -> None:
    """A page of effects at a time; the rail is never asked inside a transaction."""
    after = ""
    while page := db.read(lambda tx, after=after: rows.open_effects(tx, after, PAGE)):  # type: ignore[misc]  # bound now
        for effect in page:
            _ask(rails.get(effect["rail"]), effect, report)
        asked(len(page))
        after = page[-1]["effect_id"]


def _ask(rail: Rail | None, effect: Row, report: Report) -> None:
    if rail is None:
        report.silent.append(_named(effect, why=f"there is no adapter for {effect['rail']} here"))
        return
    try:
        answer = rail.ask(effect["kind"], rail_key(effect["obligation_key"]), effect["destination"])
    except RailSilent as silence:
        report.silent.append(_named(effect, why=str(silence)))
        return
    if answer is None:
        report.asked["not_known"] += 1
        return
    report.asked[answer.state] += 1
    money = (answer.asset, answer.amount_minor)
    if answer.amount_minor is not None and money != (effect["asset"], effect["amount_minor"]):
        why = f"the rail has {answer.amount_minor} {answer.asset} under this obligation"
        report.contradictions.append(_named(effect, why=why))


def _named(effect: Row, *, why: str) -> dict[str, Any]:
    names = ("effect_id", "obligation_key", "rail", "state", "asset", "amount_minor")
    return {**{name: effect[name] for name in names}, "why": why}


def _compare_list(db: Database, name: str, rail: Rail, recovery: Recovery, report: Report) -> None:
    """What the rail's own list has that our books do not, or have otherwise."""
    if not isinstance(rail, Listing):
        report.unlisted.append(name)
        return
    since = recovery.lost_since or recovery.recovered_at
    since_us = 0 if since is None else max(0, parse_time(since) - MARGIN_SECONDS * SECOND_US)
    try:
        for one in rail.known(since_us):
            db.read(lambda tx, one=one: _compare(tx, name, one, report))  # type: ignore[misc]  # bound now
    except RailSilent as silence:
        report.silent.append({"rail": name, "why": f"its list: {silence}"})


def _compare(tx: Tx, rail: str, one: RailRecord, report: Report) -> None:
    effect = rows.find_effect_of(tx, one.obligation_key) if one.obligation_key else None
    if effect is None:
        if one.state == "confirmed":  # what a rail refused moved nothing
            report.strangers.append(_stranger(tx, rail, one))
        return
    same_money = (effect["asset"], effect["amount_minor"]) == (one.asset, one.amount_minor)
    if same_money and (effect["state"] in _OPEN or effect["state"] == _AGREES[one.state]):
        return
    why = f"the rail says {one.state}, {one.amount_minor} {one.asset}, {one.rail_ref}"
    known = {"obligation_key": one.obligation_key, "rail": rail, **effect}
    report.contradictions.append(_named(known, why=why))


def _stranger(tx: Tx, rail: str, one: RailRecord) -> dict[str, Any]:
    exists = one.deal_id is not None and rows.deal_exists(tx, one.deal_id)
    return {
        "rail": rail,
        "kind": one.kind,
        "rail_ref": one.rail_ref,
        "obligation_key": one.obligation_key,
        "deal_id": one.deal_id,
        "asset": one.asset,
        "amount_minor": one.amount_minor,
        "deal_exists": exists,
        "next": (
            "the client's repeat finds it at the rail and books it"
            if exists
            else "its deal is lost: settle it with the client, or give it back at the rail"
        ),
    }


def _unpark(tx: Tx, report: Report, operator: str) -> bool:
    if not rows.unpark(tx):
        return False
    record(
        tx,
        "RECONCILED",
        operator,
        asked=sum(report.asked.values()),
        strangers=len(report.strangers),
        report_hash=sha256_hex(k_bytes(report.document())),
    )
    return True
