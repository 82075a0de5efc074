"""Deliveries: planned with the outbox, sent by leased senders, at least once, in order per deal.

For: the outbox, which plans in its own transaction, and the worker, which calls `step`.
Guarantees: an event is owed to a hook once, under one id over all tries; within a deal a hook is
told in the order of the chain, and a delivery that keeps failing holds up its own deal only; a
sender that overslept its lease records nothing. Owners take turns, and none has more than a few
senders, however many hooks it has. The hook is looked at again right before sending,
so a deleted one gets nothing. 410, or the last try, disables the hook, and its owner's other hooks
are told. While webhooks are paused nothing is sent, nothing is given up and no try is used.
Does not: hold a transaction open while sending, or wait in `step` for a slow receiver.

Spec §9.2, §10.2. Change colour: amber.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Final

from settlement.core import webhooks as wire
from settlement.core.clock import SECOND_US
from settlement.core.errors import DatabaseUnavailable
from settlement.core.ids import DeliveryId
from settlement.faults import fault
from settlement.service.fresh import new_id
from settlement.store import webhooks as rows
from settlement.store.pauses import Switch, read_pauses
from settlement.store.recovery import read_recovery
from settlement.store.webhooks import Hook, Leased, NewDelivery, Recorded, Share

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from settlement.service.webhooks import Post, Sent
    from settlement.store.database import Database, Tx

logger = logging.getLogger(__name__)

#: Threads that mostly wait. A receiver that does not answer holds one for a whole try.
SENDERS: Final = 32
PER_HOOK: Final = 4
#: Of one owner's hooks together: an agent may have many, all of them silent.
PER_OWNER: Final = 6
#: A step gives at most half of either, and none to who has more than half, so none gets more.
_HALF: Final = 2
#: Longer than a try can take, with room for the records around it.
LEASE_SECONDS: Final = 2 * wire.TRY_SECONDS
_ERROR_CHARACTERS: Final = 300
_OTHERS_MAX: Final = 50


def new_delivery(hook_id: str, event_id: str, **members: Any) -> NewDelivery:
    """A delivery under a new id; what it holds is in the members."""
    return NewDelivery(
        delivery_id=new_id(DeliveryId.prefix), hook_id=hook_id, event_id=event_id, **members
    )


def plan(tx: Tx, seqs: Sequence[int]) -> int:
    """Owe the events of these outbox messages to the hooks that asked for them; how many.

    Runs in the transaction that marks the messages emitted.
    """
    if not seqs or not rows.any_active(tx):
        return 0
    made: list[NewDelivery] = []
    for row in rows.hooks_for(tx, seqs):
        wanted, payload = json.loads(row["events"]), json.loads(row["payload"])
        name = wire.find_delivered_name(wanted, row["event_type"], payload)
        if name is not None:
            made.append(
                new_delivery(
                    row["hook_id"],
                    row["event_id"],
                    stream=row["deal_id"],
                    version=row["version"],
                    name=name,
                )
            )
    return rows.insert_deliveries(tx, made)


class Deliveries:
    """Sends what is owed. Any number of processes may run one each."""

    def __init__(
        self,
        db: Database,
        post: Post,
        *,
        owner: str,
        senders: int = SENDERS,
    ) -> None:
        self._db = db
        self._post = post
        self._owner = owner
        self._senders = senders
        self._pool = ThreadPoolExecutor(senders, thread_name_prefix="settlement-webhook")
        self._lock = threading.Lock()
        self._flying: dict[str, Future[None]] = {}
        self._hooks: dict[str, tuple[str, str]] = {}  # delivery in flight -> its hook and owner
        self._tries = dict.fromkeys(wire.AfterTry, 0)  # how tries of this process ended

    def step(self) -> int:
        """Hand what is due to free senders; how many. Does not wait for them."""
        with self._lock:
            free = self._senders - len(self._flying)
            flown = Counter(name for names in self._hooks.values() for name in names)
        if free <= 0 or not self._db.read(_may_send):
            return 0
        share = Share(
            limit=free,
            per_hook=PER_HOOK // _HALF,
            per_owner=PER_OWNER // _HALF,
            busy_hooks=[name for name, count in flown.items() if count > PER_HOOK // _HALF],
            busy_owners=[name for name, count in flown.items() if count > PER_OWNER // _HALF],
        )
        leased = self._db.transaction(lambda tx: self._lease(tx, share))
        if leased:
            fault("webhook.after_lease")
        for one in leased:
            self._launch(one)
        return len(leased)

    def tries(self) -> dict[str, int]:
        """How the tries of this process ended, for `/metrics`."""
        with self._lock:
            return {then.value: count for then, count in self._tries.items()}

    def wait(self) -> None:
        """Wait for what is being sent."""
        with self._lock:
            flying = list(self._flying.values())
        wait(flying)

    def close(self) -> None:
        """Let the senders end and give back what they did not get to."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        try:
            self._db.transaction(lambda tx: rows.hand_back(tx, self._owner))
        except DatabaseUnavailable as error:  # stopping goes on; the leases run out by themselves
            logger.warning("deliveries were not handed back: %s", error)

    def _lease(self, tx: Tx, share: Share) -> list[Leased]:
        if is_paused(tx):  # since it was looked at
            return []
        ids = rows.lease_due(tx, owner=self._owner, share=share, lease_us=LEASE_SECONDS * SECOND_US)
        return [rows.load_leased(tx, one) for one in ids]

    def _launch(self, one: Leased) -> None:
        with self._lock:
            future = self._pool.submit(self._deliver, one)
            self._flying[one.delivery_id] = future
            self._hooks[one.delivery_id] = (one.hook_id, one.owner_id or "")
        future.add_done_callback(lambda done: self._landed(one.delivery_id, done))

    def _landed(self, delivery_id: str, done: Future[None]) -> None:
        with self._lock:
            self._flying.pop(delivery_id, None)
            self._hooks.pop(delivery_id, None)
        if not done.cancelled() and (error := done.exception()) is not None:
            # The lease runs out, and another sender takes it up.
            logger.error("delivery %s was not recorded", delivery_id, exc_info=error)

    # --- one try ---------------------------------------------------------------------------------

    def _deliver(self, one: Leased) -> None:
        hook, now_us, paused = self._db.read(
            lambda tx: (rows.find_hook(tx, one.hook_id), tx.now_us, is_paused(tx))
        )
        if paused:
            self._db.transaction(lambda tx: rows.put_back(tx, one.delivery_id, one.lease_fence))
            return
        if hook is None or hook.status != "active":
            self._db.transaction(lambda tx: _cancel(tx, one))
            return
        message = message_of(one)
        body = wire.body_bytes(message)
        headers = wire.delivery_headers(message, body, hook.secrets_at(now_us), now_us)
        fault("webhook.before_send")
        sent = self._post.post(hook.url, headers, body)
        fault("webhook.after_send")
        ended = self._db.transaction(lambda tx: self._record(tx, one, hook, sent))
        if ended is not None:
            with self._lock:
                self._tries[ended] += 1

    def _record(self, tx: Tx, one: Leased, hook: Hook, sent: Sent) -> wire.AfterTry | None:
        tries = one.tries + 1
        then = wire.after_try(tries, sent.status, secrets.randbelow(wire.DRAW_MAX + 1))
        status = {
            wire.AfterTry.DELIVERED: "delivered",
            wire.AfterTry.RETRY: "pending",
            wire.AfterTry.DISABLE: "failed",
        }[then.then]
        error = None if then.then is wire.AfterTry.DELIVERED else _reason(sent)
        recorded = Recorded(
            status=status,
            due_us=tx.lease_us + then.delay_us,
            last_status=sent.status,
            last_error=error,
        )
        if not rows.record_try(tx, one.delivery_id, one.lease_fence, recorded):
            return None  # the lease was lost: whoever has it records
        if then.then is wire.AfterTry.RETRY:
            # Deleted or disabled while it was being sent: nothing more is owed.
            kept = rows.find_hook(tx, hook.hook_id)
            if kept is None or kept.status != "active":
                rows.cancel_owed(tx, hook.hook_id, "the hook is gone")
        if then.then is wire.AfterTry.DISABLE:
            _disable(tx, one, hook, f"try {tries}: {error}")
        return then.then


def is_paused(tx: Tx) -> bool:
    """Tell whether an operator has stopped webhooks."""
    return read_pauses(tx).stops(Switch.WEBHOOKS.value) is not None


def _may_send(tx: Tx) -> bool:
    """Something is due, no operator has stopped it, and no recovery holds it: what that holds may
    have been delivered already."""
    if not rows.any_due(tx) or is_paused(tx):
        return False
    return not read_recovery(tx).deliveries_held


def message_of(one: Leased) -> wire.Message:
    """What is sent: the same bytes at every try, since events and their places do not change."""
    if one.data is not None:
        data, deal_id, created_at = json.loads(one.data), None, one.created_at
    else:
        assert one.timestamp is not None, "a delivery without data is an event's"
        assert one.payload is not None, "events have a payload"
        about = {"event_type": one.event_type, "event_hash": one.hash, "actor_id": one.actor_id}
        data = {**about, **json.loads(one.payload)}
        deal_id, created_at = one.stream, one.timestamp
    return wire.Message(
        event_id=one.event_id,
        name=one.name,
        deal_id=deal_id,
        created_at=created_at,
        log_index=one.log_index,
        data=data,
    )


def _cancel(tx: Tx, one: Leased) -> None:
    recorded = Recorded(
        status="cancelled", due_us=tx.lease_us, last_status=None, last_error="the hook is gone"
    )
    rows.record_try(tx, one.delivery_id, one.lease_fence, recorded)


def _disable(tx: Tx, one: Leased, hook: Hook, reason: str) -> None:
    """Stop, and tell the owner wherever else it listens; the hook's own page says why, too."""
    if not rows.disable_hook(tx, hook.hook_id, reason[:_ERROR_CHARACTERS]):
        return
    logger.warning("webhook %s is disabled: %s", hook.hook_id, reason)
    event_id = new_id("evt_")
    data = {"hook_id": hook.hook_id, "event_id": one.event_id, "reason": reason}
    notices = [
        new_delivery(
            other.hook_id,
            event_id,
            stream=event_id,
            version=0,
            name=wire.DISABLED,
            data=json.dumps(data),
        )
        for other in rows.hooks_of(tx, hook.owner_id, _OTHERS_MAX)
        if other.status == "active" and _wants_notices(other)
    ]
    rows.insert_deliveries(tx, notices)


def _wants_notices(hook: Hook) -> bool:
    wanted = json.loads(hook.events)
    return wire.EVERY_EVENT in wanted or wire.DISABLED in wanted


def _reason(sent: Sent) -> str:
    """For the owner: a status, or the kind of failure. Never what the other side wrote."""
    if sent.status is not None:
        return f"answered {sent.status}"
    return f"{sent.failure}: {sent.detail}"[:_ERROR_CHARACTERS]
