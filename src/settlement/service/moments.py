"""The time of a decision: now, but always after what it goes on with.

For: a batch, whose decisions share a transaction and mostly its time.
Guarantees: what a decision stamps is after the last stamp of its deal, and of a stream of ours it
adds to, so of two decisions on a deal the times say which came first, although a clock was set
back or the transaction waited for its deal. A deal that is ahead carries nobody else ahead, and
what it starts is due at once. One source of ids per time.
Does not: look at streams without a deal that callers stamp, or move the window of volumes.

Spec §1.4, §16.3 (check 35). Change colour: red.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.clock import parse_time, time_text, window_start
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
        self._now, self._now_us = tx.now, tx.now_us
        self._window_start = window_start(tx.now_us)
        self._rules = rules
        self._entropy = entropy
        self._known: dict[int, Context] = {}

    def of(self, state: State, footprint: Footprint, needs: Needs | None) -> Context:
        """The context of a decision on these; `needs` is None before they are known."""
        last = max(_last(state, footprint, needs), default="")
        # Text sorts as time does, and a batch mostly shares one.
        now_us = self._now_us if last < self._now else parse_time(last) + 1
        found = self._known.get(now_us)
        if found is None:
            found = self._known[now_us] = Context(
                now=time_text(now_us),
                now_us=now_us,
                due_us=self._now_us,
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
