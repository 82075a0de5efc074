"""Settlement policy: the predicates that must all pass when a deal settles.

For: proof packs, which carry a policy, and settle, which applies it.
Guarantees: exact decimal comparison; a field that is not known fails; an unknown field, operator
or unfitting value is refused when the policy is written, not when money waits for it.
Does not: gather the facts; settle does.

Spec §4.4 (Policy), H4. Change colour: red.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeAlias

from settlement.core.canonical import Json, load_json
from settlement.core.errors import CanonicalForm, InvalidField, PolicyNotMet
from settlement.core.hashes import policy_hash

Fact: TypeAlias = "Decimal | str"
NO_POLICY: Final = "[]"
_PREDICATES_MAX: Final = 32

#: Field -> whether its fact is a number.
FIELDS: Final[Mapping[str, bool]] = {
    "verifier_confidence": True,
    "quorum_count": True,
    "approval_mode": False,
    "dispute_sla_hours": True,
    "ocs_min": True,
    "amount_max_usd": True,
}
_ORDERED: Final[Mapping[str, Callable[[Decimal, Decimal], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
}
_OPS_OF_TEXT: Final = frozenset({"==", "!=", "in"})
_OPS_OF_NUMBERS: Final = _OPS_OF_TEXT | _ORDERED.keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """One condition; `values` has one element but for `in`."""

    field: str
    op: str
    values: tuple[Fact, ...]

    def holds(self, facts: Mapping[str, Fact]) -> bool:
        """Compare the fact; a missing one fails whatever the operator."""
        fact = facts.get(self.field)
        if fact is None:
            return False
        if self.op == "in":
            return fact in self.values
        if self.op == "==":
            return fact == self.values[0]
        if self.op == "!=":
            return fact != self.values[0]
        wanted = self.values[0]
        assert isinstance(fact, Decimal), "an ordered field is a number"
        assert isinstance(wanted, Decimal), "an ordered field is a number"
        return _ORDERED[self.op](fact, wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A checked policy with its published hash."""

    predicates: tuple[Predicate, ...]
    hash: str  # H4, wire form

    def check(self, deal_id: str, facts: Mapping[str, Fact]) -> None:
        """Raise PolicyNotMet naming the first field that does not pass."""
        for predicate in self.predicates:
            if not predicate.holds(facts):
                raise PolicyNotMet(deal_id=deal_id, field=predicate.field)


@lru_cache(maxsize=256)
def read_policy(text: str) -> Policy:
    """Read and check a policy's JSON text; raises InvalidField saying what is wrong."""
    try:
        document = load_json(text)
    except CanonicalForm as error:
        raise InvalidField(field="policy", reason=error.reason) from error
    if not isinstance(document, list):
        raise InvalidField(field="policy", reason="must be a list of predicates")
    if len(document) > _PREDICATES_MAX:
        raise InvalidField(field="policy", reason=f"has more than {_PREDICATES_MAX} predicates")
    predicates = tuple(_read_predicate(row, f"policy[{at}]") for at, row in enumerate(document))
    return Policy(predicates=predicates, hash=policy_hash(document).wire)


def _read_predicate(row: Json, where: str) -> Predicate:
    if not isinstance(row, Mapping) or set(row) != {"field", "op", "value"}:
        raise InvalidField(field=where, reason="must have field, op and value")
    name, op, value = row["field"], row["op"], row["value"]
    if not isinstance(name, str) or name not in FIELDS:
        raise InvalidField(field=f"{where}.field", reason=f"must be one of {sorted(FIELDS)}")
    is_number = FIELDS[name]
    if not isinstance(op, str) or op not in (_OPS_OF_NUMBERS if is_number else _OPS_OF_TEXT):
        raise InvalidField(field=f"{where}.op", reason=f"does not fit {name}")
    values: Sequence[Json] = [value]
    if op == "in":
        if not isinstance(value, list) or not value:
            raise InvalidField(field=f"{where}.value", reason="must be a list that is not empty")
        values = value
    facts = tuple(_read_value(part, where, is_number=is_number) for part in values)
    return Predicate(field=name, op=op, values=facts)


def _read_value(value: Json, where: str, *, is_number: bool) -> Fact:
    if is_number:
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            return Decimal(value)
        raise InvalidField(field=f"{where}.value", reason="must be a number")
    if isinstance(value, str):
        return value
    raise InvalidField(field=f"{where}.value", reason="must be text")
