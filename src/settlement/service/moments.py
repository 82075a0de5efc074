"""The time of a decision: now, but never before what it goes on with.

For: a batch, whose decisions share a transaction and mostly its time.
Guarantees: what a decision stamps is not before the last stamp of its deal, nor of a stream of ours
it adds to, so chains and books go forward although a clock was set back or the transaction waited
for its deal. A deal that is ahead carries nobody else ahead. One source of ids per time.
Does not: look at streams without a deal that callers stamp, or move the window of volumes.

Spec §1.4, §16.3 (check 35). Change colour: red.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.clock import parse_time, window_start
from settlement.core.ids import SYSTEM_PREFIX, SequenceIds
from settlement.core.operation import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from settlement.core.operation import Rules
    from settlement.core.state import Footprint, Needs, State
    from settlement.store.database import Tx


class Moments:
    """The contexts of one batch, by their time."""

    def __init__(self, tx: Tx, rules: Rules, entropy: Callable[[], bytes]) -> None:
        self._now = tx.now
        self._window_start = window_start(tx.now_us)
        self._rules = rules
        self._entropy = entropy
        self._known: dict[str, Context] = {}

    def of(self, state: State, footprint: Footprint, needs: Needs | None) -> Context:
        """The context of a decision on these; `needs` is None before they are known."""
        now = max((self._now, *_last(state, footprint, needs)))
        found = self._known.get(now)
        if found is None:
            now_us = parse_time(now)
            found = self._known[now] = Context(
                now=now,
                now_us=now_us,
                window_start=self._window_start,
                ids=SequenceIds(unix_us=now_us, seed=self._entropy()),
                rules=self._rules,
            )
        return found


def _last(state: State, footprint: Footprint, needs: Needs | None) -> Iterator[str]:
    for deal_id in footprint.deals:
        deal = state.deals[deal_id]
        if deal is not None:
            yield deal.updated_at
    for stream in needs.chains if needs is not None else ():
        if stream.startswith(SYSTEM_PREFIX) and stream in state.chains:
            yield state.chains[stream].at
