"""Hooks and deliveries as rows.

For: `service/webhooks.py` and `service/deliveries.py`.
Guarantees: a deleted hook is found by nobody and its secrets are gone; a delivery is leased and
recorded only under its fence; the repr of a hook has no secret.
Does not: decide which event is for whom, sign, or send.

Spec §10.2. Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.store.database import Row, Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A subscription; `events` is JSON."""

    hook_id: str
    owner_id: str
    url: str
    events: str
    secret: str = field(repr=False)
    secret_before: str | None = field(repr=False)
    secret_before_until_us: int | None
    status: str
    disabled_reason: str | None
    created_at: str
    updated_at: str

    def secrets_at(self, now_us: int) -> list[str]:
        """The secrets to sign with: the current one, then the one before while both count."""
        before, until = self.secret_before, self.secret_before_until_us
        overlap = before is not None and until is not None and now_us < until
        return [self.secret, before] if overlap and before is not None else [self.secret]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """One thing to tell one hook; `data` is the JSON of what is no event of a chain."""

    delivery_id: str
    hook_id: str
    event_id: str
    stream: str
    version: int
    name: str
    data: str | None = None
    status: str = "pending"
    tries: int = 0
    last_status: int | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """A leased delivery and its event, if it is one's."""

    delivery_id: str
    hook_id: str
    owner_id: str | None  # None: the hook is deleted
    event_id: str
    stream: str
    name: str
    data: str | None
    tries: int
    lease_fence: int
    created_at: str
    timestamp: str | None
    event_type: str | None
    actor_id: str | None
    hash: str | None
    payload: str | None
    log_index: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What one try came to."""

    status: str
    due_us: int
    last_status: int | None
    last_error: str | None


# --- hooks ---------------------------------------------------------------------------------------


def insert_hook(tx: Tx, hook: Hook) -> None:
    """A new subscription, active."""
    tx.run(
        "hook_insert",
        hook_id=hook.hook_id,
        owner_id=hook.owner_id,
        url=hook.url,
        events=hook.events,
        secret=hook.secret,
        now=tx.now,
    )


def find_hook(tx: Tx, hook_id: str) -> Hook | None:
    """A hook that is not deleted."""
    row = tx.maybe("hook_get", hook_id=hook_id)
    return Hook(**row) if row is not None else None


def hooks_of(tx: Tx, owner_id: str, limit: int) -> list[Hook]:
    """An owner's hooks, oldest first."""
    return [Hook(**row) for row in tx.all("hook_of_owner", owner_id=owner_id, limit=limit)]


def delete_hook(tx: Tx, hook: Hook) -> None:
    """Forget a hook and its secrets, and what was still owed to it."""
    tx.run("hook_delete", hook_id=hook.hook_id, owner_id=hook.owner_id, now=tx.now)
    cancel_owed(tx, hook.hook_id, "the hook was deleted")


def rotate_secret(tx: Tx, hook: Hook, secret: str, until_us: int) -> None:
    """Give a hook a new secret; the one before signs too, until then."""
    tx.run(
        "hook_rotate",
        hook_id=hook.hook_id,
        owner_id=hook.owner_id,
        secret=secret,
        until_us=until_us,
        now=tx.now,
        now_us=tx.now_us,
    )


def disable_hook(tx: Tx, hook_id: str, reason: str) -> bool:
    """Stop telling a hook; True for the caller who did it."""
    done = tx.run("hook_disable", hook_id=hook_id, reason=reason, now=tx.now) == 1
    cancel_owed(tx, hook_id, "the hook is disabled")
    return done


def enable_hook(tx: Tx, hook_id: str) -> None:
    """Take a disabled hook up again."""
    tx.run("hook_enable", hook_id=hook_id, now=tx.now)


def any_active(tx: Tx) -> bool:
    """Tell whether anybody wants to be told of anything."""
    return tx.maybe("hook_any_active") is not None


# --- deliveries ----------------------------------------------------------------------------------


def hooks_for(tx: Tx, seqs: Sequence[int]) -> list[Row]:
    """Events of outbox messages, each with a hook of one whom it concerns."""
    return tx.all("delivery_hooks_for", seqs=list(seqs))


def insert_deliveries(tx: Tx, made: Sequence[NewDelivery]) -> int:
    """Owe deliveries; one per event and hook, ever. How many are new."""
    rows = [
        {
            "delivery_id": one.delivery_id,
            "hook_id": one.hook_id,
            "event_id": one.event_id,
            "stream": one.stream,
            "version": one.version,
            "name": one.name,
            "data": one.data,
            "status": one.status,
            "tries": one.tries,
            "due_us": tx.lease_us,
            "last_status": one.last_status,
            "last_error": one.last_error,
            "now": tx.now,
        }
        for one in made
    ]
    return tx.many("delivery_insert", rows) if rows else 0


def owe_again(tx: Tx, made: Sequence[NewDelivery]) -> int:
    """Owe deliveries whether or not they were made before; how many were not owed already."""
    rows = [
        {
            "delivery_id": one.delivery_id,
            "hook_id": one.hook_id,
            "event_id": one.event_id,
            "stream": one.stream,
            "version": one.version,
            "name": one.name,
            "due_us": tx.lease_us,
            "now": tx.now,
        }
        for one in made
    ]
    return tx.many("delivery_replay", rows) if rows else 0


def events_since(tx: Tx, owner_id: str, own_stream: str, since: int, limit: int) -> list[Row]:
    """What concerns an owner from a place in the log on, in the log's order."""
    return tx.all(
        "delivery_events_since",
        owner_id=owner_id,
        own_stream=own_stream,
        since=since,
        limit=limit,
    )


def deliveries_page(tx: Tx, hook_id: str, limit: int) -> list[Row]:
    """The latest deliveries of a hook, newest first."""
    return tx.all("delivery_page", hook_id=hook_id, limit=limit)


def summaries(tx: Tx, owner_id: str, hooks: int, latest: int) -> list[Row]:
    """Per hook of an owner: what is owed, and how the latest deliveries went."""
    return tx.all("delivery_summary", owner_id=owner_id, hooks=hooks, limit=latest)


def retry(tx: Tx, hook_id: str, latest: int) -> int:
    """Owe what has failed among the latest deliveries again, all at once; how many are due now."""
    again = tx.run("delivery_retry", hook_id=hook_id, due_us=tx.lease_us, limit=latest, now=tx.now)
    return again + tx.run("delivery_hasten", hook_id=hook_id, due_us=tx.lease_us, now=tx.now)


def cancel_owed(tx: Tx, hook_id: str, reason: str) -> int:
    """Give up what is owed to a hook and not being sent right now."""
    return tx.run("delivery_cancel_owed", hook_id=hook_id, reason=reason, now=tx.now)


def in_flight(tx: Tx, hook_id: str) -> int:
    """How many deliveries of a hook somebody may be sending now."""
    return int(tx.one("delivery_in_flight", hook_id=hook_id, now_us=tx.lease_us)["n"])


def any_due(tx: Tx) -> bool:
    """Tell whether something is due, or was left behind by a dead sender."""
    return tx.maybe("delivery_any_due", now_us=tx.lease_us) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much may be taken: in all, of one hook, of one owner; and who has its share already."""

    limit: int
    per_hook: int
    per_owner: int
    busy_hooks: Sequence[str] = ()
    busy_owners: Sequence[str] = ()


def lease_due(tx: Tx, *, owner: str, share: Share, lease_us: int) -> list[str]:
    """Lease what is due, owners taking turns, each the oldest first; ids."""
    tx.run("delivery_reclaim_expired", now=tx.now, now_us=tx.lease_us)
    found = tx.all(
        "delivery_find_due",
        now_us=tx.lease_us,
        limit=share.limit,
        per_hook=share.per_hook,
        per_owner=share.per_owner,
        busy=list(share.busy_hooks),
        busy_owners=list(share.busy_owners),
    )
    ids = [row["delivery_id"] for row in found]
    if not ids:
        return []
    until = tx.lease_us + lease_us
    taken = {
        row["delivery_id"]
        for row in tx.all("delivery_lease", ids=ids, owner=owner, expires_us=until, now=tx.now)
    }
    return [one for one in ids if one in taken]


def load_leased(tx: Tx, delivery_id: str) -> Leased:
    """A delivery with its event."""
    return Leased(**tx.one("delivery_load", delivery_id=delivery_id))


def record_try(tx: Tx, delivery_id: str, fence: int, recorded: Recorded) -> bool:
    """What a try came to; False when the lease is another's by now, and nothing was recorded."""
    changed = tx.run(
        "delivery_record",
        delivery_id=delivery_id,
        fence=fence,
        status=recorded.status,
        due_us=recorded.due_us,
        last_status=recorded.last_status,
        last_error=recorded.last_error,
        now=tx.now,
    )
    return changed == 1


def put_back(tx: Tx, delivery_id: str, fence: int) -> None:
    """Give back one that was leased and not sent; it is due as it was, and no try is used."""
    tx.run("delivery_put_back", delivery_id=delivery_id, fence=fence, now=tx.now)


def hand_back(tx: Tx, owner: str) -> int:
    """Give back what an owner leases."""
    return tx.run("delivery_hand_back", owner=owner, now=tx.now)
