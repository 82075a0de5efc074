"""Fees before anything is paid: estimate, tiers, an agent's tier (contract §2.6).

Guarantees: rates and amounts are printed digit for digit from exact text.
Does not: compute; `service/fees_view.py` does.

Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar.params import FromPath, FromQuery
from litestar.response.base import ASGIResponse

from settlement.core.errors import MemberMissing
from settlement.core.money import Asset, parse_amount
from settlement.edge.http import promises
from settlement.edge.http.answers import reading, reply
from settlement.edge.http.auth import PUBLIC
from settlement.edge.http.money import number
from settlement.edge.http.paths import agent_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import fees_view

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROW_NUMBERS: Final = ("min_volume_usd", "fee_pct", "fee_fixed", "multiplier")
_AGENT_NUMBERS: Final = ("fee_pct", "fee_fixed", "volume_30d_usd", "next_tier_min_volume_usd")
_FEE_NUMBERS: Final = ("rate", "flat", "multiplier")


def _with_numbers(members: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {
        name: number(value) if name in names and value is not None else value
        for name, value in members.items()
    }


@endpoint("GET", "/protocol/fee-estimate", access=PUBLIC, answer=promises.FeeEstimate)
async def fee_estimate(
    request: EdgeRequest,
    amount: FromQuery[str | None] = None,
    agent_id: FromQuery[str | None] = None,
    rail: FromQuery[str | None] = None,
    autonomy: FromQuery[str | None] = None,
) -> ASGIResponse:
    """All fees of an amount, before settling it; `agent_id` applies that seller's tier."""
    del rail, autonomy  # accepted: what a policy charges depends on neither
    if not amount:
        raise MemberMissing(field="amount")
    rules = request.services.rules
    gross = parse_amount(amount, Asset.parse(rules.default_asset), "amount")
    seller = agent_in_path(agent_id) if agent_id else None
    found = await reading(request, fees_view.estimate, gross, seller, rules)
    found["protocol_fee"] = _with_numbers(found["protocol_fee"], _FEE_NUMBERS)
    return reply(found)


@endpoint("GET", "/protocol/fee-tiers", access=PUBLIC, answer=promises.FeeTiers)
async def fee_tiers(request: EdgeRequest) -> ASGIResponse:
    """The volume bands of the active fee policy."""
    request.count()
    found = fees_view.fee_tiers(request.services.rules)
    found["tiers"] = [_with_numbers(row, _ROW_NUMBERS) for row in found["tiers"]]
    return reply(found)


@endpoint("GET", "/protocol/fee-tiers/{agent_id:str}", access=PUBLIC, answer=promises.AgentFeeTier)
async def agent_fee_tier(request: EdgeRequest, agent_id: FromPath[str]) -> ASGIResponse:
    """The band an agent's 30-day volume has reached."""
    rules = request.services.rules
    found = await reading(request, fees_view.agent_fee_tier, agent_in_path(agent_id), rules)
    return reply(_with_numbers(found, _AGENT_NUMBERS))


ROUTES = (fee_estimate, fee_tiers, agent_fee_tier)
