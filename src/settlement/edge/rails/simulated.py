"""A rail that moves no money: it keeps its own book on disk, and misbehaves when told to.

For: the sandbox, tests and audits, which compare our books with this one.
Guarantees: one charge or payout per rail key, whatever happens: the book (`book.jsonl`) is appended
under an exclusive `flock` by any number of threads and processes, and on disk before an answer
leaves. A line torn by a crash was never answered, so it is cut off; any other bad line raises
`StoreCorrupt`. Behaviours come from `program.json` beside it, read anew when it changes.
Does not: keep secrets, sign webhooks or fail by itself.

Spec §6.4, §18.2. Change colour: green.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.canonical import framed_hash
from settlement.edge.rails.base import (
    RailAnswer,
    RailKeyReused,
    RailRecord,
    RailRequest,
    RailSilent,
)
from settlement.edge.rails.book import Book

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

OK: Final = "ok"
DECLINE: Final = "decline"
CHARGE_THEN_SILENCE: Final = "charge_then_silence"
SILENCE_WITHOUT_CHARGE: Final = "silence_without_charge"
OUTAGE: Final = "outage"  # silent to questions, too
SLOW: Final = "slow:"  # slow:<milliseconds>, then ok
DECLINE_CODE: Final = "card_declined"
_PLAIN: Final = frozenset({OK, DECLINE, CHARGE_THEN_SILENCE, SILENCE_WITHOUT_CHARGE, OUTAGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What to do with matching calls. The first rule that matches and is not used up counts.

    match: a deal id, or the beginning of an obligation key (`payout:`, `charge:deal_1`); "" is
    every call. first: only so many calls; None: all of them.
    """

    does: str
    match: str = ""
    first: int | None = None

    def __post_init__(self) -> None:
        """Refuse a behaviour nobody implements."""
        if self.does not in _PLAIN and not self.does.removeprefix(SLOW).isdecimal():
            raise ValueError(f"a simulated rail cannot {self.does!r}")

    def matches(self, obligation_key: str, deal_id: str) -> bool:
        """Tell whether a call is meant."""
        return self.match == deal_id or obligation_key.startswith(self.match)


@dataclass(frozen=True, slots=True, kw_only=True)
class RailEntry:
    """One line of the book about one request: `charged` or `declined`."""

    kind: str
    rail_key: str
    obligation_key: str
    asset: str
    amount_minor: int
    deal_id: str
    destination: str | None
    state: str
    rail_ref: str


class SimulatedRail:
    """The simulated rail over one directory."""

    name = "simulated"
    key_retention_seconds = None  # the book forgets nothing

    def __init__(
        self,
        directory: Path,
        *,
        lookup_lag_seconds: int = 0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._program = directory / "program.json"
        self._book = Book(directory / "book.jsonl")
        self._lookup_lag_seconds = lookup_lag_seconds
        self._sleep = sleep
        self._known: dict[str, RailEntry] = {}
        self._uses: dict[str, int] = {}  # rule -> calls that followed it
        self._rules: tuple[int, list[tuple[str, Behaviour]]] = (-1, [])

    @property
    def lookup_lag_seconds(self) -> int:
        """The book is current, so there is none but for tests."""
        return self._lookup_lag_seconds

    # --- what the house calls --------------------------------------------------------------------

    def send(self, request: RailRequest) -> RailAnswer:
        """Charge or pay out once per rail key; raises RailSilent as programmed."""
        with self._book.exclusive() as lines:
            self._learn(lines)
            rule, does = self._behaviour(request)
            known = self._known.get(request.rail_key)
            written: list[dict[str, Any]] = []
            if rule is not None:
                written.append({"line": "use", "rule": rule})
            if known is None and does not in (SILENCE_WITHOUT_CHARGE, OUTAGE):
                known = _entry(request, "declined" if does == DECLINE else "charged")
                written.append({"line": "entry", **asdict(known)})
            end = self._book.append(written)
            self._learn(written)
        self._book.make_durable(end)
        if does.startswith(SLOW):
            self._sleep(int(does.removeprefix(SLOW)) / 1000)
        if known is None or does in (CHARGE_THEN_SILENCE, SILENCE_WITHOUT_CHARGE, OUTAGE):
            raise RailSilent(f"{self.name} did not answer about {request.obligation_key}")
        if (known.kind, known.asset, known.amount_minor) != _terms(request):
            raise RailKeyReused(f"{request.rail_key} was used for {known.obligation_key}")
        return _answer(known)

    def ask(self, kind: str, rail_key: str, destination: str | None = None) -> RailAnswer | None:
        """What the book says; raises RailSilent during a programmed outage."""
        del destination  # the key alone finds it
        with self._book.exclusive() as lines:
            self._learn(lines)
            known = self._known.get(rail_key)
            rules = self._current_rules()
            end = self._book.end
        if any(rule.does == OUTAGE and not self._used_up(name, rule) for name, rule in rules):
            raise RailSilent(f"{self.name} does not answer")
        if known is None:
            return None
        self._book.make_durable(end)
        if known.kind != kind:
            raise RailKeyReused(f"{rail_key} was used for {known.obligation_key}")
        return _answer(known)

    def check(self) -> None:
        """Ask about what was never sent."""
        self.ask("charge", "no such request")

    def known(self, since_us: int) -> list[RailRecord]:
        """All that the book holds: it keeps no times, so all of it may be since then."""
        del since_us
        with self._book.exclusive() as lines:
            self._learn(lines)
            return [_record(entry) for entry in self._known.values()]

    # --- what tests and audits call --------------------------------------------------------------

    def program(self, behaviours: Sequence[Behaviour]) -> None:
        """Replace the behaviours, for every process on this directory; counts start anew."""
        rules = [{k: v for k, v in asdict(b).items() if v is not None} for b in behaviours]
        text = json.dumps({"revision": os.urandom(8).hex(), "behaviours": rules}, indent=1)
        draft = self._program.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(text + "\n", "utf-8")
        draft.replace(self._program)

    def close(self) -> None:
        """Let go of the book."""
        self._book.close()

    def entries(self) -> list[RailEntry]:
        """Every charge and payout in the book, in order; what was declined is not among them."""
        with self._book.exclusive() as lines:
            self._learn(lines)
            return [entry for entry in self._known.values() if entry.state == "charged"]

    # --- inside, under the book's lock -----------------------------------------------------------

    def _learn(self, lines: Sequence[dict[str, Any]]) -> None:
        for line in lines:
            members = dict(line)
            if members.pop("line") == "use":
                self._uses[members["rule"]] = self._uses.get(members["rule"], 0) + 1
            else:
                entry = RailEntry(**members)
                self._known.setdefault(entry.rail_key, entry)

    def _behaviour(self, request: RailRequest) -> tuple[str | None, str]:
        """The rule to count, if any, and what to do."""
        for name, rule in self._current_rules():
            wanted = rule.matches(request.obligation_key, request.deal_id)
            if wanted and not self._used_up(name, rule):
                return (name if rule.first is not None else None), rule.does
        return None, OK

    def _used_up(self, name: str, rule: Behaviour) -> bool:
        return rule.first is not None and self._uses.get(name, 0) >= rule.first

    def _current_rules(self) -> list[tuple[str, Behaviour]]:
        try:
            stamp = self._program.stat().st_mtime_ns
        except FileNotFoundError:
            return []
        if stamp != self._rules[0]:
            stored = json.loads(self._program.read_text("utf-8"))
            revision = stored.get("revision", "")
            rules = [Behaviour(**members) for members in stored["behaviours"]]
            self._rules = (stamp, [(f"{revision}:{n}", rule) for n, rule in enumerate(rules)])
        return self._rules[1]


def _entry(request: RailRequest, state: str) -> RailEntry:
    reference = framed_hash("simulated-rail", request.kind, request.rail_key)[:24]
    return RailEntry(
        kind=request.kind,
        rail_key=request.rail_key,
        obligation_key=request.obligation_key,
        asset=request.asset,
        amount_minor=request.amount_minor,
        deal_id=request.deal_id,
        destination=request.destination,
        state=state,
        rail_ref=f"sim_{reference}",
    )


def _terms(request: RailRequest) -> tuple[str, str, int]:
    return request.kind, request.asset, request.amount_minor


def _answer(entry: RailEntry) -> RailAnswer:
    done = entry.state == "charged"
    return RailAnswer(
        state="confirmed" if done else "refused",
        rail_ref=entry.rail_ref,
        code=None if done else DECLINE_CODE,
        asset=entry.asset,
        amount_minor=entry.amount_minor,
    )


def _record(entry: RailEntry) -> RailRecord:
    return RailRecord(
        kind=entry.kind,
        state="confirmed" if entry.state == "charged" else "refused",
        asset=entry.asset,
        amount_minor=entry.amount_minor,
        rail_ref=entry.rail_ref,
        obligation_key=entry.obligation_key,
        deal_id=entry.deal_id,
    )
