"""The shape of one money operation: a value that says what it needs and decides purely.

For: `core/operations/*` (the operations) and `service/engine.py` (which runs them in batches).
Guarantees: `decide` sees only `State` and `Context`; it raises a `SettlementError` to refuse, and
then nothing of it is written but the refusal under a key the caller sent (spec §6.2).
Does not: do I/O, read a clock, or draw random numbers: time and ids come in the context.
Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from settlement.core.clock import time_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.core.ids import IdSource
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal
    from settlement.core.state import Footprint, Needs, State
    from settlement.core.writeset import WriteSet


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedKey:
    """The key every caller of a once-per-deal operation shares (spec §6.1)."""

    deal_id: str
    operation: str  # the claim's operation: settle and settle_multi share "settle"
    key: str  # wire form, idem_ + 24 hex
    digest: str  # full 64 hex of the same bytes

    @property
    def scope(self) -> str:
        """Scope column of the claim row."""
        return f"deal:{self.deal_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who asks, under which keys. No derived and no sent key: nothing is remembered."""

    principal: Principal
    operation: str
    sent_key: str | None = None  # never from `anonymous`
    derived: DerivedKey | None = None
    deal_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The operator's settings that decisions depend on. Built once by `wiring`."""

    sandbox: bool = True
    default_asset: str = "USD/2"
    fee_policy: str = "discounts-1"
    quote_days: int = 7
    default_price_minor: int = 9900
    #: (vertical, sku_id) -> price in minor units of the default asset.
    prices: Mapping[tuple[str, str], int] = field(default_factory=dict)
    #: the rail that charges and pays in this process's configuration.
    rail: str = "simulated"
    #: rails that can charge without the buyer (spec §4.5 case 3).
    rails_charging_alone: frozenset[str] = frozenset({"simulated"})
    #: payout rail names a destination may name -> our rail.
    payout_rails: Mapping[str, str] = field(default_factory=lambda: {"SIMULATED": "simulated"})
    public_url: str = "http://127.0.0.1:10000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Time, ids and rules of one decision."""

    now: str  # text form of spec §1.4
    now_us: int
    due_us: int  # when what is to be done next is due: now by the clock, also where `now` is ahead
    window_start: str  # now - 30 days, same form
    ids: IdSource
    rules: Rules

    @property
    def clock(self) -> str:
        """The time by the clock, for what counts until a time: `now` may be ahead of it."""
        return time_text(self.due_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a decision answers and writes.

    result: JSON-able, integers and strings only; every `<name>_minor` becomes the wire's money
    members at the edge. pending: the claim stays running until a later operation finishes it.
    decides: False where nothing happened yet; then only a sent key remembers the answer (§6.2).
    """

    result: dict[str, Any]
    writes: WriteSet
    pending: bool = False
    decides: bool = True


class Operation(Protocol):
    """One public verb of the system."""

    name: ClassVar[str]

    def call(self) -> Call:
        """Principal and idempotency keys."""
        ...

    def footprint(self) -> Footprint:
        """Deals and effects to lock first."""
        ...

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """The arguments the caller named, resolved against the deal, None dropped (spec §6.2).

        Integers, strings, booleans, lists and objects of these. A replay may leave out what it
        did not name; what it names must equal what was stored.
        """
        ...

    def needs(self, state: State, ctx: Context) -> Needs:
        """What else to load; `state` has the footprint's deals and effects."""
        ...

    def decide(self, state: State, ctx: Context) -> Decision:
        """Decide, or raise a SettlementError. Checks first, then construction only."""
        ...
