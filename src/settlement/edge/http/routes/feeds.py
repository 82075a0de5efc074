"""Feeds of the economy as a whole: econ feed and intelligence, public and premium.

Guarantees: every figure was released before by `service/feed.py`; nothing is computed of anybody's
deals here. The premium forms have cents and counts, and the same suppression and delay: free of
them, they would undo the public one's protection.
Does not: have figures for what this service keeps no books of; those members are empty objects.

Spec §14, contract §2.12, §3.5. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar.response.base import ASGIResponse

from settlement.edge.http import promises_feed
from settlement.edge.http.answers import reading, reply
from settlement.edge.http.auth import PUBLIC, keyed
from settlement.edge.http.money import number
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import feed

if TYPE_CHECKING:
    from collections.abc import Callable

PREMIUM: Final = keyed("feed:premium")


async def _snapshot(request: EdgeRequest, read: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    settings = request.services.settings
    found = await reading(
        request,
        read,
        asset=settings.default_asset,
        delay_seconds=settings.econ_feed_delay_seconds,
    )
    releases = [_with_numbers(one) for one in found.get("releases", ())]
    return _with_numbers(found) | ({"releases": releases} if "releases" in found else {})


def _with_numbers(release: dict[str, Any]) -> dict[str, Any]:
    verticals = {name: _cell(cell) for name, cell in release["verticals"].items()}
    totals = release["totals"]
    return {**release, "verticals": verticals, "totals": totals and _cell(totals)}


def _cell(cell: dict[str, Any]) -> dict[str, Any]:
    return {**cell, "gmv_usd": number(cell["gmv_usd"])}


@endpoint("GET", "/protocol/econ/feed", access=PUBLIC, answer=promises_feed.EconFeed)
async def econ_feed(request: EdgeRequest) -> ASGIResponse:
    """The last hour released, per vertical; small and lopsided ones are suppressed."""
    return reply(await _snapshot(request, feed.get_delayed_snapshot))


@endpoint("GET", "/protocol/econ/feed/premium", access=PREMIUM, answer=promises_feed.PremiumFeed)
async def econ_feed_premium(request: EdgeRequest) -> ASGIResponse:
    """A week of hours with cents and counts, suppressed and delayed like the public feed."""
    return reply(await _snapshot(request, feed.premium_snapshot))


@endpoint("GET", "/protocol/intelligence/feed", access=PUBLIC, answer=promises_feed.Intelligence)
async def intelligence_feed(request: EdgeRequest) -> ASGIResponse:
    """What the econ feed shows, in the shape the official clients read."""
    return reply(_intelligence(await _snapshot(request, feed.get_delayed_snapshot)))


@endpoint(
    "GET",
    "/protocol/intelligence/premium",
    access=PREMIUM,
    answer=promises_feed.PremiumIntelligence,
)
async def intelligence_premium(request: EdgeRequest) -> ASGIResponse:
    """The same with cents and counts, and each vertical's hours of the week."""
    found = await _snapshot(request, feed.premium_snapshot)
    hours: dict[str, list[dict[str, Any]]] = {}
    for release in found["releases"]:
        for name, cell in release["verticals"].items():
            hours.setdefault(name, []).append({"epoch": release["epoch"], **cell})
    return reply({**_intelligence(found), "brain_intelligence": {"verticals": hours}})


def _intelligence(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "epoch": found["epoch"],
        "as_of": found["as_of"],
        "currency": found["currency"],
        "verticals": found["verticals"],
        "marketplace": {
            "totals": found["totals"],
            "suppressed_verticals_count": found["suppressed_verticals_count"],
        },
        "sla_benchmarks": {},
        "netting": {},
        "credentials": {},
        "k_anonymity_threshold": found["k_anonymity_threshold"],
        "delay_applied_seconds": found["delay_applied_seconds"],
    }


ROUTES = (econ_feed, econ_feed_premium, intelligence_feed, intelligence_premium)
