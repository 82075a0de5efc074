"""What the calls about webhooks answer; see `promises.py`.

Guarantees: a secret is a member of two answers only, those that made it.
Does not: list every member; more may be there.

Contract §2.13, §5.16. Change colour: green to add, red to take away.
"""

from __future__ import annotations

import msgspec

from settlement.edge.http.promises import Answer


class HookRow(msgspec.Struct, kw_only=True):
    hook_id: str
    url: str
    events: list[str]
    status: str
    disabled_reason: str | None
    rotating: bool
    created_at: str
    updated_at: str


class Hook(Answer):
    hook_id: str
    url: str
    events: list[str]
    status: str
    created_at: str
    secret: str | None = None


class HookRotated(Hook, kw_only=True):
    previous_valid_until: str | None


class Hooks(Answer):
    webhooks: list[HookRow]


class HookDeleted(Answer):
    hook_id: str
    deleted: bool


class HookTested(Answer):
    hook_id: str
    event_id: str
    delivered: bool
    status_code: int | None
    reason: str | None


class DeliveryRow(msgspec.Struct, kw_only=True):
    delivery_id: str
    event_id: str
    type: str
    log_index: int | None
    status: str
    tries: int
    next_try_at: str | None
    status_code: int | None
    last_error: str | None
    created_at: str
    updated_at: str


class Deliveries(Answer):
    hook_id: str
    deliveries: list[DeliveryRow]


class DashboardRow(HookRow, kw_only=True):
    pending: int
    delivered: int
    failed: int
    success_percent: int | None
    last_delivered_at: str | None


class Dashboard(Answer):
    webhooks: list[DashboardRow]
    total: int
    pending: int
    paused: bool
    latest_counted: int


class HookRetried(Answer):
    hook_id: str
    queued: int


class HookReplayed(Answer):
    hook_id: str
    queued: int
    next_since_log_index: int | None
