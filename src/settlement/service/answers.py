"""What an operation's caller gets, and the text in which an outcome is kept.

For: the engine, which makes answers, the edge, which renders them, and readers of `claim.outcome`.
Guarantees: an outcome read back is the outcome written, refusals included; a replay carries the
key and time of the original. An operation's refusal is data here, never an exception.
Does not: know HTTP, or add wire members such as `ok` and `_idempotent`.

Spec §6.2. Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from settlement.core.errors import SettlementError, from_record

if TYPE_CHECKING:
    from settlement.core.limits import Standing
    from settlement.core.rows import Claim

#: (scope, operation, key): the primary key of a claim.
ClaimKey: TypeAlias = tuple[str, str, str]

RUNNING: Final = "running"
DONE: Final = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One outcome as its caller sees it.

    running: the claim is not finished; `result` is then what is planned, as far as known.
    claim: the claim row that holds (or will hold) the outcome, None when nothing is remembered.
    key: the derived key in wire form, or the key that was sent.
    standing: how the caller stands after this call, when it was counted and not refused for it.
    """

    result: dict[str, Any] | None = None
    error: SettlementError | None = None
    replayed: bool = False
    running: bool = False
    claim: ClaimKey | None = None
    key: str | None = None
    original_key: str | None = None
    original_at: str | None = None
    standing: Standing | None = None

    def unwrap(self) -> dict[str, Any]:
        """The result; raises the refusal if it is one."""
        if self.error is not None:
            raise self.error
        assert self.result is not None, "a finished answer has a result or an error"
        return self.result


def done_text(result: dict[str, Any]) -> str:
    """Outcome column of a finished operation."""
    return msgspec.json.encode({"result": result}).decode()


def refused_text(error: SettlementError) -> str:
    """Outcome column of a refusal."""
    return msgspec.json.encode({"error": error.to_record()}).decode()


def planned_text(result: dict[str, Any]) -> str:
    """Outcome column of a running operation: what it will answer if all goes well."""
    return msgspec.json.encode({"planned": result}).decode()


def answer_from(outcome: str | None, *, replay_of: Claim, key: str | None) -> Answer:
    """The replay of a claim with this outcome."""
    stored: dict[str, Any] = msgspec.json.decode(outcome) if outcome is not None else {}
    error = stored.get("error")
    return Answer(
        result=stored.get("result", stored.get("planned")),
        error=from_record(error) if error is not None else None,
        replayed=True,
        running=replay_of.state == RUNNING,
        claim=key_of(replay_of),
        key=key,
        original_key=replay_of.key,
        original_at=replay_of.first_seen,
    )


def finished(running: Answer, outcome: str) -> Answer:
    """A running answer, now that its claim has this outcome; who asked first stays the original."""
    stored: dict[str, Any] = msgspec.json.decode(outcome)
    error = stored.get("error")
    return Answer(
        result=stored.get("result"),
        error=from_record(error) if error is not None else None,
        replayed=running.replayed,
        claim=running.claim,
        key=running.key,
        original_key=running.original_key,
        original_at=running.original_at,
        standing=running.standing,
    )


def key_of(claim: Claim) -> ClaimKey:
    """Primary key of a claim row."""
    return claim.scope, claim.operation, claim.key
