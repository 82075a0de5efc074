"""The state of recovery as the database holds it: epoch, what is parked, what is held.

For: `service/recovery.py`, which changes it, and the runners of effects and deliveries, which look
in their own transactions.
Guarantees: one statement over four keys reads all of it; after `void_holds` no lease, job or
delivery of before is held, and every fence handed out from then on is above every one of before.
Does not: decide when.

Spec §7, §17.2. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from settlement.core.clock import parse_time

if TYPE_CHECKING:
    from settlement.store.database import Row, Tx

#: A fence is epoch * 2^40 + counter.
EPOCH_FENCES: Final = 1 << 40
_EPOCH: Final = "recovery_epoch"
_PARKED: Final = "recovery_parked"
_HELD: Final = "recovery_deliveries_held"
_AT: Final = "recovery_recovered_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """`lost_since`: when the backup was taken; what happened later is lost."""

    epoch: int
    lost_since: str | None  # while parked
    recovered_at: str | None
    deliveries_held: bool

    @property
    def parked(self) -> bool:
        """Nothing new is sent to a rail until the operator has reconciled."""
        return self.lost_since is not None

    @property
    def asks_first(self) -> bool:
        """An obligation may have been met in a time that is lost: ask before sending."""
        return self.epoch > 0

    def settled_for(self, now_us: int, seconds: int) -> bool:
        """Whether a rail that needs so long to know what it was sent must know it by now."""
        return self.recovered_at is None or now_us - parse_time(self.recovered_at) >= (
            seconds * 1_000_000
        )


def read_recovery(tx: Tx) -> Recovery:
    """All of it, as of now."""
    found = {row["name"]: row["value"] for row in tx.all("recovery_find")}
    return Recovery(
        epoch=int(found.get(_EPOCH, "0")),
        lost_since=found.get(_PARKED),
        recovered_at=found.get(_AT),
        deliveries_held=_HELD in found,
    )


def begin_epoch(tx: Tx, epoch: int, lost_since: str) -> None:
    """Enter an epoch: rails are parked and deliveries held from here on."""
    values = {_EPOCH: str(epoch), _PARKED: lost_since, _HELD: tx.now, _AT: tx.now}
    for name, value in values.items():
        tx.run("recovery_set", name=name, value=value)


def void_holds(tx: Tx, epoch: int) -> None:
    """Take every lease from its holder, and doubt every effect that was sent."""
    fence = epoch * EPOCH_FENCES
    tx.run("recovery_void_leases", fence=fence)
    tx.run("recovery_void_jobs", fence=fence, now=tx.now, now_us=tx.lease_us)
    tx.run("recovery_void_deliveries", fence=fence, now=tx.now, now_us=tx.lease_us)
    tx.run("recovery_doubt_effects", now=tx.now)
    tx.run("recovery_doubt_payouts", now=tx.now)
    tx.run("recovery_park_payouts", now=tx.now)


def unpark(tx: Tx) -> bool:
    """Let rails be asked to do things again; False if they could be already."""
    if not tx.run("recovery_unset", name=_PARKED):
        return False
    tx.run("recovery_free_payouts", now=tx.now)
    tx.run("recovery_wake_jobs", now_us=tx.lease_us)
    return True


def release_deliveries(tx: Tx) -> bool:
    """Let deliveries go out again; False if they could already."""
    return bool(tx.run("recovery_unset", name=_HELD))


def open_effects(tx: Tx, after: str, limit: int) -> list[Row]:
    """A page of the effects whose outcome is open."""
    return tx.all("recovery_open_effects", after=after, limit=limit)


def find_effect_of(tx: Tx, obligation_key: str) -> Row | None:
    """The effect of an obligation."""
    return tx.maybe("recovery_effect_of", obligation_key=obligation_key)


def deal_exists(tx: Tx, deal_id: str) -> bool:
    """Whether a deal is in the books."""
    return tx.maybe("recovery_deal_exists", deal_id=deal_id) is not None
