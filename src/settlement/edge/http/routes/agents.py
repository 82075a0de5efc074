"""Agents: registration, reputation, balances.

Guarantees: the API key is in the registration's answer and nowhere else.
Does not: rotate or revoke keys.

Contract §2.1, §3.4. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse

from settlement.core.clock import time_text
from settlement.core.errors import InvalidField
from settlement.core.limits import Bucket
from settlement.edge.http import promises, promises_reads, schemas
from settlement.edge.http.answers import ask, reading, reply
from settlement.edge.http.auth import PUBLIC, WRITE, keyed
from settlement.edge.http.money import number
from settlement.edge.http.paths import agent_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import reputation
from settlement.service.fees_view import fee_line
from settlement.service.register import Profile, new_registration
from settlement.store.database import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME_CHARS_MAX: Final = 200
CAPABILITIES_MAX: Final = 100
_NUMBERS: Final = ("ocs", "escrow_requirement", "multiplier")


@endpoint(
    "POST",
    "/protocol/register",
    access=WRITE,
    answer=promises.Registered,
    body=schemas.RegisterBody,
    bucket=Bucket.REGISTER,
)
async def register(request: EdgeRequest, data: JSONBody[schemas.RegisterBody]) -> ASGIResponse:
    """Register an agent; answers its id and, this once, its API key."""
    profile = Profile(
        name=schemas.free_text(data.name, "name", NAME_CHARS_MAX),
        agent_type=schemas.word(data.agent_type, "agent_type"),
        capabilities=_capabilities(data.capabilities),
        description=schemas.free_text(data.description, "description"),
        api_endpoint=schemas.free_text(data.api_endpoint, "api_endpoint", 2000),
        owner_email=schemas.free_text(data.owner_email, "owner_email", 320),
        public_key_base64=data.public_key_base64 or None,
    )
    made = new_registration(request.principal, profile, now=time_text(SystemClock().now_us()))
    answer = await ask(request, made.operation)
    members = {
        **answer.unwrap(),
        "api_key": made.api_key,
        "key_id": made.operation.key.key_id,
        **_numbers(reputation.new_standing()),
        "protocol_fee": fee_line(request.services.rules),
        "passport": None,
    }
    signing_key = made.operation.signing_key
    if signing_key is not None:
        members["signing"] = {
            "key_id": signing_key.key_id,
            "key_class": signing_key.key_class,
            "algorithm": "Ed25519",
            "status": signing_key.status,
        }
    return reply(members)


def _numbers(members: dict[str, Any]) -> dict[str, Any]:
    return {name: number(text) if name in _NUMBERS else text for name, text in members.items()}


def _capabilities(sent: Sequence[str]) -> Sequence[str]:
    if len(sent) > CAPABILITIES_MAX:
        raise InvalidField(field="capabilities", reason=f"more than {CAPABILITIES_MAX} entries")
    return [schemas.free_text(one, "capabilities", NAME_CHARS_MAX) for one in sent]


@endpoint("GET", "/protocol/reputation/{agent_id:str}", access=PUBLIC, answer=promises.Reputation)
async def get_reputation(request: EdgeRequest, agent_id: FromPath[str]) -> ASGIResponse:
    """An agent's score, tier, settlements and volume."""
    asset = request.services.rules.default_asset
    found = await reading(request, reputation.reputation, agent_in_path(agent_id), asset)
    found["total_volume_usd"] = number(found["total_volume_usd"])
    return reply(_numbers(found))


@endpoint(
    "GET",
    "/protocol/agents/{agent_id:str}/balances",
    access=keyed("read"),
    answer=promises_reads.Balances,
)
async def get_balances(request: EdgeRequest, agent_id: FromPath[str]) -> ASGIResponse:
    """What is available, held and posted on the agent's own accounts."""
    caller = request.principal
    return reply(await reading(request, reputation.balances, agent_in_path(agent_id), caller))


ROUTES = (register, get_reputation, get_balances)
