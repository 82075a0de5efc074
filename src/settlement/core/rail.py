"""What the house asks of a rail (payment provider), and what a rail may answer.

For: `service/effects.py`, which asks, and `edge/rails/*`, which answer.
Guarantees: an answer is a proof: confirmed or refused. Whatever proves nothing (a timeout, a lost
connection, a server error, an answer nobody can read) is `RailSilent`: the outcome is unknown, and
asking later settles it.
Does not: call anything.

Spec §6.4. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class RailRequest:
    """One thing asked of a rail. `rail_key` makes a repeat of it the same request."""

    kind: str  # EffectKind
    rail_key: str
    obligation_key: str
    asset: str
    amount_minor: int
    deal_id: str
    destination: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RailAnswer:
    """A proven outcome. `code` is the rail's word for a refusal; asset and amount are what the rail
    says it moved, where it says so."""

    state: Literal["confirmed", "refused"]
    rail_ref: str | None = None
    code: str | None = None
    asset: str | None = None
    amount_minor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RailRecord:
    """One thing that a rail's own list holds, as the rail has it."""

    kind: str  # EffectKind
    state: Literal["confirmed", "refused"]
    asset: str
    amount_minor: int
    rail_ref: str | None
    obligation_key: str | None  # as it was sent
    deal_id: str | None
    occurred_at: str | None = None  # by the rail's clock, where it keeps times


class RailSilent(Exception):
    """The rail has not said what happened: it may have moved the money, or not."""


class RailKeyReused(RailSilent):
    """The rail knows this key for another request. Ours to explain; it proves nothing else."""


class RailDenies(RailSilent):
    """The rail does not take our credentials: an operator's to mend, and no proof of anything."""


class Rail(Protocol):
    """A payment provider. Safe to call from several threads."""

    @property
    def name(self) -> str:
        """The name effects carry."""
        ...

    @property
    def lookup_lag_seconds(self) -> int:
        """How long after sending `ask` may still answer "no such request" wrongly."""
        ...

    @property
    def key_retention_seconds(self) -> int | None:
        """How long the rail knows a key it was sent; None: for ever."""
        ...

    def send(self, request: RailRequest) -> RailAnswer:
        """Do it, once per rail key; raises RailSilent."""
        ...

    def ask(self, kind: str, rail_key: str, destination: str | None = None) -> RailAnswer | None:
        """What became of it; None: no such request. Raises RailSilent, also while undecided.

        destination: as it was sent, for rails that look things up by where they went.
        """
        ...


@runtime_checkable
class Answering(Protocol):
    """A rail that can be asked whether it answers."""

    def check(self) -> None:
        """Ask for something harmless. Raises RailSilent."""
        ...


@runtime_checkable
class Listing(Protocol):
    """A rail that can also list what it was ever asked for, ours or not in our books."""

    def known(self, since_us: int) -> Iterable[RailRecord]:
        """All of it since then, and perhaps some from before. Raises RailSilent."""
        ...
