"""Where an agent's payouts go: create, list, pause and take up again.

Guarantees: only the owner (or an operator) sees or changes a destination; an address is shown
masked ever after; a rail this server lacks is stored as `unsupported`, and payouts to it wait.
Does not: move money, or check that an address exists at its rail.

Contract §2.10. Change colour: amber.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from settlement.core.errors import AgentNotFound, DestinationNotFound, InvalidField, NotOwner
from settlement.core.rows import Destination
from settlement.core.writeset import WriteSet
from settlement.service.fresh import new_id
from settlement.store import destinations as rows
from settlement.store.agents import find_agent

if TYPE_CHECKING:
    from settlement.core.operation import Rules
    from settlement.core.principal import Principal
    from settlement.store.database import Database, Tx

#: Names that destinations may carry: what the published clients know, and our own rail.
RAIL_NAMES: Final = (
    "STRIPE_CONNECT",
    "ACH",
    "PAYPAL",
    "CRYPTO_USDT",
    "CRYPTO_USDC",
    "SIMULATED",
)
#: What an address looks like where its rail is driven from here.
_ADDRESSES: Final = {"STRIPE_CONNECT": re.compile(r"acct_[A-Za-z0-9_]{1,64}")}
OWNED_MAX: Final = 100
ADDRESS_CHARS_MAX: Final = 512
_SHOWN_CHARS: Final = 4
ACTIVE: Final = "active"
PAUSED: Final = "paused"
UNSUPPORTED: Final = "unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDestination:
    """What an owner sends."""

    owner_id: str
    rail: str
    address: str
    auto: bool


def masked(address: str) -> str:
    """The last four characters; a short address shows fewer."""
    shown = min(_SHOWN_CHARS, len(address) // 3)
    return "****" + (address[-shown:] if shown else "")


def destination_view(one: Destination) -> dict[str, Any]:
    """The destination's members."""
    return {
        "destination_id": one.destination_id,
        "owner_id": one.owner_id,
        "rail": one.rail,
        "address": masked(one.address),
        "auto": bool(one.auto),
        "status": one.status,
        "created_at": one.created_at,
    }


def status_for(rail: str, rules: Rules) -> str:
    """Active if this server drives the rail, else stored and waiting."""
    return ACTIVE if rules.payout_rails.get(rail) == rules.rail else UNSUPPORTED


def create(db: Database, wanted: NewDestination, metadata_text: str, rules: Rules) -> Destination:
    """Store a destination; raises InvalidField, AgentNotFound. `metadata_text`: JSON."""
    rail = wanted.rail.upper()
    if rail not in RAIL_NAMES:
        raise InvalidField(field="rail", reason=f"none of {', '.join(RAIL_NAMES)}")
    if len(wanted.address) > ADDRESS_CHARS_MAX:
        raise InvalidField(field="address", reason=f"longer than {ADDRESS_CHARS_MAX} characters")
    status = status_for(rail, rules)
    if status == ACTIVE and rail in _ADDRESSES and not _ADDRESSES[rail].fullmatch(wanted.address):
        raise InvalidField(field="address", reason="no account of that rail: it begins acct_")
    made = Destination(
        destination_id=new_id("dest_"),
        owner_id=wanted.owner_id,
        rail=rail,
        address=wanted.address,
        metadata=metadata_text,
        auto=int(wanted.auto),
        status=status,
        created_at="",
    )

    def write(tx: Tx) -> Destination:
        if find_agent(tx, wanted.owner_id) is None:
            raise AgentNotFound(agent_id=wanted.owner_id)
        if len(rows.destinations_of(tx, wanted.owner_id, OWNED_MAX)) >= OWNED_MAX:
            raise InvalidField(field="owner_id", reason=f"has {OWNED_MAX} destinations already")
        stored = replace(made, created_at=tx.now)
        tx.write(WriteSet(destinations=[stored]))
        return stored

    return db.transaction(write)


def listed(db: Database, owner_id: str) -> dict[str, Any]:
    """An owner's destinations; the caller has been checked."""
    found = db.read(lambda tx: rows.destinations_of(tx, owner_id, OWNED_MAX))
    return {"owner_id": owner_id, "destinations": [destination_view(one) for one in found]}


def change_status(
    db: Database, destination_id: str, caller: Principal, wanted: str, rules: Rules
) -> Destination:
    """Pause a destination or take it up again (`active`); asking again changes nothing.

    A stranger's destination does not exist. Taking up one whose rail is missing leaves it so.
    """

    def write(tx: Tx) -> Destination:
        found = rows.find_destination(tx, destination_id)
        if found is None or not (caller.is_operator or found.owner_id == caller.agent_id):
            raise DestinationNotFound(destination_id=destination_id)
        status = status_for(found.rail, rules) if wanted == ACTIVE else wanted
        if found.status == UNSUPPORTED and status == PAUSED:
            status = UNSUPPORTED
        if status != found.status:
            rows.set_status(tx, destination_id, status)
        return replace(found, status=status)

    return db.transaction(write)


def check_owner(owner_id: str, caller: Principal) -> None:
    """Raise NotOwner for anybody but the owner and operators."""
    if caller.agent_id != owner_id and not caller.is_operator:
        raise NotOwner(owner_id=owner_id)
