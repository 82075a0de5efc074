"""Outgoing webhooks for their owner: create, list, delete, test, rotate, replay.

Guarantees: a secret is shown once, when we made it, and is in no list, log or error after that; a
stranger's hook does not exist; once `delete` has answered, nothing more is sent to the hook. An
owner whose servers or names do not answer has few calls waiting, whatever the number it makes.
Does not: send what happens on its own (`service/deliveries.py`), or know how to reach a URL: that
is handed in.

Spec §10.2, contract §2.13. Change colour: amber.
"""

from __future__ import annotations

import json
import secrets as random_secrets
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from settlement.core import webhooks as wire
from settlement.core.clock import SECOND_US, time_text
from settlement.core.errors import (
    EventNameUnknown,
    HookNotFound,
    HookUrlRefused,
    InvalidField,
    KeyRequired,
    Paused,
    WebhookBusy,
)
from settlement.core.ids import HookId, system_stream
from settlement.service.at_once import AtOnce
from settlement.service.deliveries import new_delivery
from settlement.service.fresh import new_id
from settlement.store import webhooks as rows
from settlement.store.lease_clock import shown
from settlement.store.pauses import Switch, read_pauses
from settlement.store.webhooks import Hook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from settlement.core.principal import Principal
    from settlement.store.database import Database, Tx

OWNED_MAX: Final = 50
SECRET_CHARS_MAX: Final = 512
LISTED_MAX: Final = 100
REPLAY_MAX: Final = 1000
OVERLAP_SECONDS: Final = 86_400
OVERLAP_SECONDS_MAX: Final = 604_800
#: Failures at creation that say nothing about where the address leads; each delivery looks anew.
_NOT_A_REFUSAL: Final = frozenset({"name_unresolved", "timed_out"})
_SECRET_BYTES: Final = 32
#: Of one owner at once, in one process: tests, and other calls that wait for somebody.
TESTS_AT_ONCE: Final = 1
WAITS_AT_ONCE: Final = 4
_DELETE_WAIT_MS: Final = 4_000
_LOOK_MS: Final = 20


class Sent(Protocol):
    """What came of one POST: a status, or why there is none."""

    @property
    def status(self) -> int | None: ...
    @property
    def failure(self) -> str | None: ...
    @property
    def detail(self) -> str: ...


class Post(Protocol):
    """The way out. Never raises for what the other side does."""

    def find_refusal(self, url: str) -> Sent | None:
        """Why this URL may not be sent to."""
        ...

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Sent:
        """Send once."""
        ...


def hook_view(hook: Hook, now_us: int) -> dict[str, Any]:
    """The hook's members; never a secret."""
    return {
        "hook_id": hook.hook_id,
        "url": hook.url,
        "events": json.loads(hook.events),
        "status": hook.status,
        "disabled_reason": hook.disabled_reason,
        "rotating": len(hook.secrets_at(now_us)) > 1,
        "created_at": hook.created_at,
        "updated_at": hook.updated_at,
    }


class Webhooks:
    """The hooks of all owners. `post` is given little time: somebody waits for the answer."""

    def __init__(self, db: Database, post: Post) -> None:
        self._db = db
        self._post = post
        self._tests = AtOnce(TESTS_AT_ONCE)
        self._waits = AtOnce(WAITS_AT_ONCE)

    # --- life of a hook --------------------------------------------------------------------------

    def create(
        self, caller: Principal, url: str, events: Sequence[str], secret: str | None
    ) -> dict[str, Any]:
        """Subscribe; raises EventNameUnknown, InvalidField, HookUrlRefused, WebhookBusy.

        No names: all.
        """
        owner = owner_of(caller)
        wanted = list(dict.fromkeys(events)) or [wire.EVERY_EVENT]
        unknown = wire.find_unknown_name(wanted)
        if unknown is not None:
            raise EventNameUnknown(name=unknown[:64])
        kept = _checked_secret(secret)
        with self._waits.turn(owner) as free:
            if not free:
                raise WebhookBusy(at_once=WAITS_AT_ONCE)
            refused = self._post.find_refusal(url)
        later = url.startswith("https://") and refused and refused.failure in _NOT_A_REFUSAL
        if refused is not None and not later:
            raise HookUrlRefused(reason=refused.detail or str(refused.failure))

        def write(tx: Tx) -> Hook:
            if len(rows.hooks_of(tx, owner, OWNED_MAX)) >= OWNED_MAX:
                raise InvalidField(field="url", reason=f"you have {OWNED_MAX} webhooks already")
            made = Hook(
                hook_id=new_id(HookId.prefix),
                owner_id=owner,
                url=url,
                events=json.dumps(wanted),
                secret=kept,
                secret_before=None,
                secret_before_until_us=None,
                status="active",
                disabled_reason=None,
                created_at=tx.now,
                updated_at=tx.now,
            )
            rows.insert_hook(tx, made)
            return made

        made = self._db.transaction(write)
        return {**hook_view(made, 0), **({} if secret else {"secret": kept})}

    def listed(self, caller: Principal) -> dict[str, Any]:
        """The caller's own hooks."""
        owner = owner_of(caller)

        def look(tx: Tx) -> list[dict[str, Any]]:
            found = rows.hooks_of(tx, owner, OWNED_MAX)
            return [hook_view(hook, tx.now_us) for hook in found]

        return {"webhooks": self._db.read(look)}

    def delete(self, caller: Principal, hook_id: str) -> dict[str, Any]:
        """Unsubscribe. What is being sent at this moment is waited for, within limits.

        An owner with many such waits has its hook deleted all the same, and gets its answer before
        what is being sent has ended.
        """

        def write(tx: Tx) -> None:
            rows.delete_hook(tx, own_hook(tx, caller, hook_id))

        self._db.transaction(write)
        with self._waits.turn(owner_of(caller)) as free:
            if free:
                self._wait_for_sends(hook_id)
        return {"hook_id": hook_id, "deleted": True}

    def _wait_for_sends(self, hook_id: str) -> None:
        looks = threading.Event()  # never set: it only paces the loop
        until_ns = time.monotonic_ns() + _DELETE_WAIT_MS * 1_000_000
        while self._db.read(lambda tx: rows.in_flight(tx, hook_id)):
            if time.monotonic_ns() > until_ns:
                break
            looks.wait(_LOOK_MS / 1000)

    def rotate(
        self, caller: Principal, hook_id: str, secret: str | None, overlap_seconds: int
    ) -> dict[str, Any]:
        """Change the secret; for a while the old one signs as well, so that receivers can follow.

        A second rotation ends an earlier overlap.
        """
        if not 0 <= overlap_seconds <= OVERLAP_SECONDS_MAX:
            reason = f"it must be from 0 to {OVERLAP_SECONDS_MAX}"
            raise InvalidField(field="overlap_seconds", reason=reason)
        kept = _checked_secret(secret)

        def write(tx: Tx) -> dict[str, Any]:
            hook = own_hook(tx, caller, hook_id)
            until_us = tx.now_us + overlap_seconds * SECOND_US
            rows.rotate_secret(tx, hook, kept, until_us)
            view = hook_view(own_hook(tx, caller, hook_id), tx.now_us)
            until = time_text(until_us) if overlap_seconds else None
            return {**view, "previous_valid_until": until}

        return {**self._db.transaction(write), **({} if secret else {"secret": kept})}

    # --- what was and will be sent ---------------------------------------------------------------

    def deliveries(self, caller: Principal, hook_id: str) -> dict[str, Any]:
        """The latest deliveries of a hook."""

        def look(tx: Tx) -> dict[str, Any]:
            own_hook(tx, caller, hook_id)
            found = rows.deliveries_page(tx, hook_id, LISTED_MAX)
            return {"hook_id": hook_id, "deliveries": [_delivery_view(tx, row) for row in found]}

        return self._db.read(look)

    def test(self, caller: Principal, hook_id: str) -> dict[str, Any]:
        """Send one `webhook.test` now, once; the outcome is on the hook's list of deliveries.

        Raises Paused while an operator has stopped webhooks, and WebhookBusy while another test of
        the owner runs.
        """
        hook, now_us = self._db.read(lambda tx: _to_test(tx, caller, hook_id))
        message = wire.Message(
            event_id=new_id("evt_"),
            name=wire.TEST,
            deal_id=None,
            created_at=time_text(now_us),
            log_index=None,
            data={"hook_id": hook_id},
        )
        body = wire.body_bytes(message)
        headers = wire.delivery_headers(message, body, hook.secrets_at(now_us), now_us)
        with self._tests.turn(hook.owner_id) as free:
            if not free:
                raise WebhookBusy(at_once=TESTS_AT_ONCE)
            sent = self._post.post(hook.url, headers, body)
        delivered = wire.after_try(1, sent.status, 0).then is wire.AfterTry.DELIVERED
        made = new_delivery(
            hook_id,
            message.event_id,
            stream=message.event_id,
            version=0,
            name=wire.TEST,
            data=json.dumps({"hook_id": hook_id}),
            status="delivered" if delivered else "failed",
            tries=1,
            last_status=sent.status,
            last_error=None if delivered else sent.detail or None,
        )
        self._db.transaction(lambda tx: rows.insert_deliveries(tx, [made]))
        return {
            "hook_id": hook_id,
            "event_id": message.event_id,
            "delivered": delivered,
            "status_code": sent.status,
            "reason": None if sent.failure is None else str(sent.failure),
        }

    def replay(self, caller: Principal, hook_id: str, since_log_index: int) -> dict[str, Any]:
        """Owe the owner's events from a place in the log on once more, in order within each deal.

        A disabled hook is taken up again. Where the log has more than one call takes,
        `next_since_log_index` says where to go on.
        """

        def write(tx: Tx) -> dict[str, Any]:
            hook = own_hook(tx, caller, hook_id)
            rows.enable_hook(tx, hook_id)
            stream = str(system_stream(hook.owner_id))
            found = rows.events_since(tx, hook.owner_id, stream, since_log_index, REPLAY_MAX + 1)
            wanted = json.loads(hook.events)
            made = [
                new_delivery(
                    hook_id,
                    row["event_id"],
                    stream=row["deal_id"],
                    version=row["version"],
                    name=name,
                )
                for row in found[:REPLAY_MAX]
                if (name := _name_for(wanted, row)) is not None
            ]
            more = found[REPLAY_MAX]["log_index"] if len(found) > REPLAY_MAX else None
            queued = rows.owe_again(tx, made)
            return {"hook_id": hook_id, "queued": queued, "next_since_log_index": more}

        return self._db.transaction(write)


def _name_for(wanted: Sequence[str], row: Mapping[str, Any]) -> str | None:
    return wire.find_delivered_name(wanted, row["event_type"], json.loads(row["payload"]))


def owner_of(caller: Principal) -> str:
    """The agent whose hooks these are; raises KeyRequired."""
    if caller.agent_id is None:
        raise KeyRequired()
    return caller.agent_id


def own_hook(tx: Tx, caller: Principal, hook_id: str) -> Hook:
    """The caller's hook; raises HookNotFound, for another's too."""
    hook = rows.find_hook(tx, hook_id)
    if hook is None or hook.owner_id != owner_of(caller):
        raise HookNotFound(hook_id=hook_id)
    return hook


def _to_test(tx: Tx, caller: Principal, hook_id: str) -> tuple[Hook, int]:
    hook = own_hook(tx, caller, hook_id)
    stopped = read_pauses(tx).stops(Switch.WEBHOOKS.value)
    if stopped is not None:
        raise Paused(switch=stopped)
    return hook, tx.now_us


def _checked_secret(secret: str | None) -> str:
    """The caller's secret if it can sign, else a new one."""
    if not secret:
        return wire.secret_text(random_secrets.token_bytes(_SECRET_BYTES))
    if len(secret) > SECRET_CHARS_MAX:
        raise InvalidField(field="secret", reason=f"longer than {SECRET_CHARS_MAX} characters")
    wire.secret_bytes(secret)
    return secret


def _delivery_view(tx: Tx, row: Mapping[str, Any]) -> dict[str, Any]:
    owed = row["status"] in ("pending", "leased")
    return {
        "delivery_id": row["delivery_id"],
        "event_id": row["event_id"],
        "type": row["name"],
        "log_index": row["log_index"],
        "status": "pending" if owed else row["status"],
        "tries": row["tries"],
        "next_try_at": shown(tx, row["due_us"]) if owed else None,
        "status_code": row["last_status"],
        "last_error": row["last_error"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }
