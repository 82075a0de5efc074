"""What rails send us (contract §3.7).

Guarantees: the signature is checked over the raw body, before anything else is read of it; 200 is
said once the message is committed, and says whether it was here before.
Does not: act on a message; a job does.

Spec §10.1. Change colour: amber.
"""

from __future__ import annotations

from typing import Final

from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from settlement.edge.http import promises
from settlement.edge.http.answers import reply
from settlement.edge.http.auth import SIGNED
from settlement.edge.http.request import EdgeRequest, header
from settlement.edge.http.routing import endpoint
from settlement.store.database import SystemClock

#: What a signature may stand in.
_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature", "stripe-signature")


@endpoint(
    "POST",
    "/protocol/webhooks/provider/{rail:str}",
    access=SIGNED,
    answer=promises.WebhookTaken,
)
async def take_provider_webhook(request: EdgeRequest, rail: FromPath[str]) -> ASGIResponse:
    """Take in a signed message of a rail; the same message again changes nothing."""
    services = request.services
    if services.behind is not None:
        raise services.behind
    headers = {name: header(request.scope, name.encode()) for name in _HEADERS}
    body = await request.raw_body()
    now_us = SystemClock().now_us()
    taken = await request.threads.read(services.inbox.receive, rail, headers, body, now_us)
    return reply({"event_id": taken.event_id, "_idempotent": taken.repeated})


ROUTES = (take_provider_webhook,)
