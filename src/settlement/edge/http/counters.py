"""What has happened, counted as it happens: operations by outcome, refusals by code, commits.

For: the answers and problems of the edge, and the engine, which tells of each commit.
Guarantees: a label is the name of an operation, a code, a bucket, a kind of event or effect: sets
that the source code bounds. No agent, deal, key or price is one. Label sets are resolved once and
kept, so counting costs a dictionary look-up.
Does not: count again what was replayed; a replay is an outcome of its own.

Contract §3.8. Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter

if TYPE_CHECKING:
    from settlement.core.errors import SettlementError
    from settlement.core.writeset import WriteSet
    from settlement.service.answers import Answer

OPERATIONS: Final = Counter(
    "settlement_operations", "Operations answered to callers", ("operation", "outcome")
)
PROBLEMS: Final = Counter("settlement_problems", "Refusals answered, by their code", ("code",))
RATE_LIMITED: Final = Counter("settlement_rate_limited", "Calls refused with 429", ("bucket",))
EVENTS: Final = Counter("settlement_events", "Deal events this process committed", ("event_type",))
EFFECTS: Final = Counter(
    "settlement_effect_outcomes", "What rails were found to have done", ("kind", "state")
)


class _Known:
    """A counter with its label sets kept; the library would resolve them anew each time."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._known: dict[tuple[str, ...], Counter] = {}

    def count(self, *labels: str) -> None:
        found = self._known.get(labels)
        if found is None:
            found = self._known[labels] = self._counter.labels(*labels)
        found.inc()


_operations, _problems, _limited = _Known(OPERATIONS), _Known(PROBLEMS), _Known(RATE_LIMITED)
_events, _effects = _Known(EVENTS), _Known(EFFECTS)


def outcome_of(answer: Answer) -> str:
    """How an operation ended, in a word: replayed, refused, failed, pending or done."""
    if answer.replayed:
        return "replayed"
    if answer.error is not None:
        return "failed" if answer.error.code == "internal_fault" else "refused"
    return "pending" if answer.running else "done"


def answered(operation: str, answer: Answer) -> None:
    """An operation was answered to its caller."""
    _operations.count(operation, outcome_of(answer))


def refused(error: SettlementError) -> None:
    """A problem document was written."""
    _problems.count(error.code)
    if error.code == "rate_limited":
        _limited.count(str(error.members()["bucket"]))


def committed(writes: WriteSet) -> None:
    """A commit listener of the engine."""
    for event in writes.events:
        _events.count(event.event_type)
    for change in writes.effects_changed:
        _effects.count(change.effect.kind, change.effect.state)
