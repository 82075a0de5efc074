"""Payout destinations (contract §2.10).

Guarantees: owners and operators only; addresses are shown masked.
Does not: pay out.

Change colour: amber.
"""

from __future__ import annotations

from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse

from settlement.core.errors import DestinationNotFound, MalformedId, MemberMissing
from settlement.core.hashes import proof_data_text
from settlement.core.ids import DestinationId, check_name
from settlement.edge.http import promises, schemas
from settlement.edge.http.answers import reading, reply
from settlement.edge.http.auth import acting_as, keyed
from settlement.edge.http.paths import agent_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import destinations

BASE = "/protocol/payout-destinations"


@endpoint(
    "POST",
    BASE,
    access=keyed("payout"),
    answer=promises.DestinationMade,
    body=schemas.DestinationBody,
)
async def create_destination(
    request: EdgeRequest, data: JSONBody[schemas.DestinationBody]
) -> ASGIResponse:
    """Say where payouts go; `auto` lets a settlement start them by itself."""
    owner = acting_as(request.principal, data.owner_id, "owner_id")
    if owner is None:
        raise MemberMissing(field="owner_id")
    wanted = destinations.NewDestination(
        owner_id=check_name(owner, "owner_id"),
        rail=schemas.word(data.rail, "rail"),
        address=data.address,
        auto=data.auto,
    )
    metadata = proof_data_text(data.metadata)
    rules = request.services.rules
    made = await reading(request, destinations.create, wanted, metadata, rules)
    return reply(destinations.destination_view(made))


@endpoint("GET", f"{BASE}/{{owner_id:str}}", access=keyed("payout"), answer=promises.Destinations)
async def list_destinations(request: EdgeRequest, owner_id: FromPath[str]) -> ASGIResponse:
    """An owner's destinations."""
    known = agent_in_path(owner_id)
    destinations.check_owner(known, request.principal)
    return reply(await reading(request, destinations.listed, known))


@endpoint(
    "POST",
    f"{BASE}/{{destination_id:str}}/verify",
    access=keyed("payout"),
    answer=promises.DestinationMade,
    body=schemas.NoBody,
)
async def verify_destination(
    request: EdgeRequest, destination_id: FromPath[str], data: JSONBody[schemas.NoBody]
) -> ASGIResponse:
    """Take a paused destination up again."""
    del data
    return await _change(request, destination_id, destinations.ACTIVE)


@endpoint(
    "POST",
    f"{BASE}/{{destination_id:str}}/pause",
    access=keyed("payout"),
    answer=promises.DestinationMade,
    body=schemas.NoBody,
)
async def pause_destination(
    request: EdgeRequest, destination_id: FromPath[str], data: JSONBody[schemas.NoBody]
) -> ASGIResponse:
    """Stop payouts to a destination."""
    del data
    return await _change(request, destination_id, destinations.PAUSED)


async def _change(request: EdgeRequest, destination_id: str, status: str) -> ASGIResponse:
    try:
        known = str(DestinationId.parse(destination_id))
    except MalformedId:
        raise DestinationNotFound(destination_id=destination_id[:64]) from None
    services = request.services
    changed = await request.threads.read(
        destinations.change_status, services.db, known, request.principal, status, services.rules
    )
    return reply(destinations.destination_view(changed))


ROUTES = (create_destination, list_destinations, verify_destination, pause_destination)
