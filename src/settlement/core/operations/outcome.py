"""What a rail said, and how a claim finished later stores its answer.

For: the worker, which hands a rail's answer to `RecordCharge` and `RecordPayout`; the operations,
which finish claims other than their own.
Guarantees: a stored outcome has the one form of every claim row, `{"result"}` or `{"error"}`.
Does not: call a rail or read a claim.

Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from settlement.core.errors import SettlementError


@dataclass(frozen=True, slots=True, kw_only=True)
class RailOutcome:
    """A rail's answer about one effect. `code` is the rail's word for why it refused."""

    state: Literal["confirmed", "refused", "unknown"]
    rail_ref: str | None = None
    code: str | None = None


def result_outcome(result: dict[str, Any]) -> str:
    """The outcome text of a claim that succeeded."""
    return json.dumps({"result": result}, separators=(",", ":"))


def error_outcome(error: SettlementError) -> str:
    """The outcome text of a claim that was refused."""
    return json.dumps({"error": error.to_record()}, separators=(",", ":"))


def planned_outcome(result: dict[str, Any]) -> str:
    """The outcome text of a claim that waits for a rail: what it will answer if all goes well."""
    return json.dumps({"planned": result}, separators=(",", ":"))
