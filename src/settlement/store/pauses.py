"""The operator's pause switches, as the database holds them.

For: the engine's batch and the effect runner, which read them in their own transaction, and
`service/pauses.py`, which changes them.
Guarantees: one read gives all switches, and costs one statement over six keys.
Does not: decide what a switch stops.

Spec §17.3. Change colour: amber.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from settlement.store.database import Tx

_PREFIX: Final = "pause_"


class Switch(StrEnum):
    """What can be paused. `all` stands for every other one."""

    GO = "go"
    SETTLE = "settle"
    PAYOUT = "payout"
    EXCHANGE = "exchange"
    WEBHOOKS = "webhooks"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRow:
    """The last change of one switch: who made it, when and why."""

    switch: str
    paused: bool
    operator: str
    reason: str
    since: str


@dataclass(frozen=True, slots=True)
class Pauses:
    """All switches as of one snapshot."""

    rows: tuple[PauseRow, ...]

    @property
    def on(self) -> tuple[str, ...]:
        """The switches that are paused, by name."""
        return tuple(row.switch for row in self.rows if row.paused)

    def stops(self, *switches: str) -> str | None:
        """The switch that stops what hangs on these; None when nothing does."""
        paused = self.on
        return next((name for name in (Switch.ALL.value, *switches) if name in paused), None)


def read_pauses(tx: Tx) -> Pauses:
    """All switches that were ever used."""
    rows = {
        row["name"].removeprefix(_PREFIX): json.loads(row["value"])
        for row in tx.all("pause_find_all")
    }
    return Pauses(tuple(PauseRow(switch=name, **rows[name]) for name in sorted(rows)))


def write_pause(tx: Tx, row: PauseRow) -> None:
    """Set one switch; resuming makes what waited for it due."""
    value = {name: member for name, member in asdict(row).items() if name != "switch"}
    tx.run("pause_write", name=_PREFIX + row.switch, value=json.dumps(value, sort_keys=True))
    if not row.paused:
        tx.run("pause_wake_jobs", now_us=tx.lease_us)
