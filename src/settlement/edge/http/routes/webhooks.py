"""Outgoing webhooks of the key's agent (contract §2.13).

Guarantees: own hooks only; a secret is in the answer that made it and in no other.
Does not: send what happens; a worker does.

Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse

from settlement.edge.http import promises_webhooks as promises
from settlement.edge.http import schemas
from settlement.edge.http.answers import reply
from settlement.edge.http.auth import keyed
from settlement.edge.http.paths import hook_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = "/protocol/webhooks"
ONE = f"{BASE}/{{hook_id:str}}"


async def _asked(
    request: EdgeRequest, call: Callable[..., dict[str, Any]], *args: Any
) -> ASGIResponse:
    """In threads apart: names are looked up, and strangers' servers asked or waited for."""
    return reply(await request.threads.outside(call, request.principal, *args))


async def _done(
    request: EdgeRequest, call: Callable[..., dict[str, Any]], *args: Any
) -> ASGIResponse:
    """Where nothing waits for a stranger."""
    return reply(await request.threads.export(call, request.principal, *args))


@endpoint("POST", BASE, access=keyed("webhooks"), answer=promises.Hook, body=schemas.WebhookBody)
async def create_webhook(request: EdgeRequest, data: JSONBody[schemas.WebhookBody]) -> ASGIResponse:
    """Have events of own deals sent to a URL; a secret made by us is shown this once."""
    return await _asked(
        request, request.services.webhooks.create, data.url, data.events, data.secret
    )


@endpoint("GET", BASE, access=keyed("webhooks"), answer=promises.Hooks)
async def list_webhooks(request: EdgeRequest) -> ASGIResponse:
    """The caller's webhooks, without their secrets."""
    return await _done(request, request.services.webhooks.listed)


@endpoint("DELETE", ONE, access=keyed("webhooks"), answer=promises.HookDeleted, body=schemas.NoBody)
async def delete_webhook(
    request: EdgeRequest, hook_id: FromPath[str], data: JSONBody[schemas.NoBody]
) -> ASGIResponse:
    """Send nothing more to a webhook, and forget its secret."""
    del data
    return await _asked(request, request.services.webhooks.delete, hook_in_path(hook_id))


@endpoint(
    "POST",
    f"{ONE}/test",
    access=keyed("webhooks"),
    answer=promises.HookTested,
    body=schemas.NoBody,
)
async def test_webhook(
    request: EdgeRequest, hook_id: FromPath[str], data: JSONBody[schemas.NoBody]
) -> ASGIResponse:
    """Send one `webhook.test` now and say how it was answered."""
    del data
    return await _asked(request, request.services.webhooks.test, hook_in_path(hook_id))


@endpoint("GET", f"{ONE}/deliveries", access=keyed("webhooks"), answer=promises.Deliveries)
async def list_deliveries(request: EdgeRequest, hook_id: FromPath[str]) -> ASGIResponse:
    """A webhook's latest deliveries: what, how often tried, how answered, when next."""
    return await _done(request, request.services.webhooks.deliveries, hook_in_path(hook_id))


@endpoint(
    "POST",
    f"{ONE}/rotate",
    access=keyed("webhooks"),
    answer=promises.HookRotated,
    body=schemas.RotateSecretBody,
)
async def rotate_webhook_secret(
    request: EdgeRequest, hook_id: FromPath[str], data: JSONBody[schemas.RotateSecretBody]
) -> ASGIResponse:
    """Change the secret; for `overlap_seconds` both sign."""
    return await _done(
        request,
        request.services.webhooks.rotate,
        hook_in_path(hook_id),
        data.secret,
        data.overlap_seconds,
    )


@endpoint(
    "POST",
    f"{ONE}/replay",
    access=keyed("webhooks"),
    answer=promises.HookReplayed,
    body=schemas.ReplayBody,
)
async def replay_webhook(
    request: EdgeRequest, hook_id: FromPath[str], data: JSONBody[schemas.ReplayBody]
) -> ASGIResponse:
    """Send own events again from `since_log_index` on; takes a disabled webhook up again."""
    return await _done(
        request, request.services.webhooks.replay, hook_in_path(hook_id), data.since_log_index
    )


ROUTES = (
    create_webhook,
    list_webhooks,
    delete_webhook,
    test_webhook,
    list_deliveries,
    rotate_webhook_secret,
    replay_webhook,
)
