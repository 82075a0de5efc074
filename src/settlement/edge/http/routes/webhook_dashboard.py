"""The webhook dashboard of the key's agent (contract §5.16).

Guarantees: own hooks only, never a secret.
Does not: send; a retry is picked up by a worker.

Change colour: amber.
"""

from __future__ import annotations

from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse

from settlement.edge.http import promises_webhooks as promises
from settlement.edge.http import schemas
from settlement.edge.http.answers import reply
from settlement.edge.http.auth import keyed
from settlement.edge.http.paths import hook_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import webhook_dashboard as service

BASE = "/protocol/webhook-dashboard"
ONE = f"{BASE}/{{hook_id:str}}"


@endpoint("GET", BASE, access=keyed("webhooks"), answer=promises.Dashboard)
async def get_webhook_dashboard(request: EdgeRequest) -> ASGIResponse:
    """The caller's webhooks with what each is owed and how its latest deliveries went."""
    db = request.services.db
    return reply(await request.threads.read(service.dashboard, db, request.principal))


@endpoint("GET", ONE, access=keyed("webhooks"), answer=promises.Deliveries)
async def get_webhook_history(request: EdgeRequest, hook_id: FromPath[str]) -> ASGIResponse:
    """A webhook's latest deliveries: what, how often tried, how answered, when next."""
    history = request.services.webhooks.deliveries
    found = await request.threads.read(history, request.principal, hook_in_path(hook_id))
    return reply(found)


@endpoint(
    "POST",
    f"{ONE}/retry",
    access=keyed("webhooks"),
    answer=promises.HookRetried,
    body=schemas.NoBody,
)
async def retry_webhook(
    request: EdgeRequest, hook_id: FromPath[str], data: JSONBody[schemas.NoBody]
) -> ASGIResponse:
    """Try again now what failed or waits, under the same ids; takes a disabled webhook up again."""
    del data
    db, hook = request.services.db, hook_in_path(hook_id)
    return reply(await request.threads.export(service.retry, db, request.principal, hook))


ROUTES = (get_webhook_dashboard, get_webhook_history, retry_webhook)
