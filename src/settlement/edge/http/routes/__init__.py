"""Routes, one module per noun; each lists its handlers in `ROUTES`.

Guarantees: `ALL_ROUTES` is everything the server answers beside its API page.
Does not: hold rules; see `edge/http/routing.py`.
"""

from settlement.edge.http.routes import (
    acceptance,
    agents,
    deals,
    destinations,
    disputes,
    feeds,
    fees,
    go,
    idempotency,
    intents,
    keys,
    log,
    mandates,
    pages,
    pay,
    payouts,
    proofs,
    provider_webhooks,
    refunds,
    service,
    settle,
    verify,
    webhook_dashboard,
    webhooks,
)

ALL_ROUTES = (
    *pages.ROUTES,
    *service.ROUTES,
    *agents.ROUTES,
    *proofs.ROUTES,
    *go.ROUTES,
    *mandates.ROUTES,
    *acceptance.ROUTES,
    *verify.ROUTES,
    *settle.ROUTES,
    *fees.ROUTES,
    *feeds.ROUTES,
    *deals.ROUTES,
    *log.ROUTES,
    *idempotency.ROUTES,
    *destinations.ROUTES,
    *payouts.ROUTES,
    *pay.ROUTES,
    *refunds.ROUTES,
    *disputes.ROUTES,
    *provider_webhooks.ROUTES,
    *webhooks.ROUTES,
    *webhook_dashboard.ROUTES,
    *intents.ROUTES,
    *keys.ROUTES,
)
