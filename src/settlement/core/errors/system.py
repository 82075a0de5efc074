"""Rival calls, limits, what is away for now, and books that contradict themselves.

For: everyone who raises or shows them. One class per stable code (spec §1.5).
Does not: decide; see the package's header.
Change colour: amber.
"""

from __future__ import annotations

from settlement.core.errors.base import Conflict, Corrupt, Exhausted, Retry, Unavailable, leaf

# --- conflict ------------------------------------------------------------------------------------


@leaf
class AlreadyDecided(Conflict):
    code = "already_decided"
    retry = Retry.NEVER
    title = "Already decided otherwise"
    message = "{operation} of deal {deal_id} was already decided with another {field}."
    advice = "It happens once per deal; nothing was done now."
    operation: str
    deal_id: str
    field: str


@leaf
class AlreadyRotated(Conflict):
    code = "already_rotated"
    retry = Retry.NEVER
    title = "The key has a successor"
    message = "API key {key_id} was rotated already, and a key has one successor."
    advice = "Rotate the successor: GET /protocol/keys shows it, by its rotated_from."
    key_id: str


@leaf
class HeadNotAudited(Conflict):
    code = "head_not_audited"
    retry = Retry.NEVER
    title = "No clean audit on record reaches that head"
    message = "No clean audit on record has seen the log up to a signed head of {tree_size}."
    advice = "Run `settlement audit --record` over everything first; it names heads to go on from."
    tree_size: int


@leaf
class RequestInProgress(Conflict):
    code = "request_in_progress"
    title = "The same call is running"
    message = "The same call is still running."
    advice = "Send it again with the same key in a second; it will not happen twice."
    retry_after_seconds: int = 1


@leaf
class IdempotencyConflict(Conflict):
    code = "event_id_taken"
    retry = Retry.NEVER
    title = "Event id in use"
    message = "Event {event_id} exists with other content."
    event_id: str


@leaf
class ChainConflict(Conflict):
    code = "chain_conflict"
    retry = Retry.LATER
    title = "Not the head of the chain"
    message = "The chain of {deal_id} has moved on; its head is {head!r}."
    deal_id: str
    head: str


@leaf
class LeaseLost(Conflict):
    code = "lease_lost"
    retry = Retry.NEVER
    title = "The lease was lost"
    message = "The lease on {name} is held by a later holder; nothing was recorded."
    name: str


@leaf
class LockUnavailable(Conflict):
    code = "lock_unavailable"
    retry = Retry.LATER
    title = "Lease held by another"
    message = "The lease on {name} is held by another owner."
    name: str


@leaf
class BackupRunning(Conflict):
    code = "backup_running"
    retry = Retry.LATER
    title = "Another backup is running"
    message = "Another backup is being written to {directory}."
    advice = "Run it again when that one has ended."
    directory: str


# --- exhausted, unavailable, corrupt -------------------------------------------------------------


@leaf
class RateLimited(Exhausted):
    """Times in microseconds; the edge shows the wait in seconds, to the last digit."""

    code = "rate_limited"
    title = "Too many calls"
    message = "{endpoint} takes {limit} calls of one caller at once, then no more than its rate."
    advice = "Nothing was done. Send the same request again with the same key after the wait named."
    bucket: str
    endpoint: str
    limit: int
    retry_after_us: int
    reset_us: int
    window_us: int


@leaf
class WebhookBusy(Exhausted):
    code = "webhook_busy"
    title = "Your other webhook calls are still waiting"
    message = "Calls that ask an agent's own servers wait in small numbers; {at_once} of yours do."
    advice = "Nothing was done or sent. Send the same request again when that has been answered."
    at_once: int
    retry_after_seconds: int = 2


@leaf
class LimitsUnreadable(Unavailable):
    code = "limits_unreadable"
    title = "Rate limits cannot be read"
    message = "The server cannot count this call, so it does not make it; nothing was done."
    advice = "Send the same request again with the same key."
    retry_after_seconds: int = 2


@leaf
class Busy(Unavailable):
    code = "busy"
    title = "Queue full"
    message = "The engine's queue is full; nothing was done."
    retry_after_seconds: int = 1


@leaf
class ShuttingDown(Unavailable):
    code = "shutting_down"
    title = "Server is stopping"
    message = "The server is stopping; nothing was done."
    retry_after_seconds: int = 2


@leaf
class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"
    title = "Database unavailable"
    message = "The database did not answer ({reason}); nothing was acknowledged."
    advice = "Send the same request again with the same key."
    reason: str
    retry_after_seconds: int = 2


@leaf
class Paused(Unavailable):
    code = "paused"
    title = "Paused by the operator"
    message = "{switch} is paused by the operator; nothing was done."
    advice = "Send the same request again with the same key later."
    switch: str


@leaf
class NoSigningKey(Unavailable):
    code = "no_signing_key"
    title = "No signing key"
    message = "This server has no log signing key, so it issues no tree heads."


@leaf
class LogLagging(Unavailable):
    code = "log_lagging"
    title = "The log has not caught up"
    message = "Deal {deal_id}'s latest event is not in a signed tree head yet."
    advice = "Send the same request again in a second."
    deal_id: str
    retry_after_seconds: int = 1


@leaf
class BehindCheckpoint(Unavailable):
    code = "behind_checkpoint"
    retry = Retry.LATER
    title = "The log is behind what was signed"
    message = "A tree head of size {promised} was signed, but the log here reaches {reached} only."
    advice = "The server is read-only until an operator restores the rest or accepts the gap."
    promised: int
    reached: int


@leaf
class BackupDamaged(Corrupt):
    code = "backup_damaged"
    title = "The backup is damaged"
    message = "{archive}: {file}, line {line}: {reason}."
    advice = "Nothing was touched. Use another archive, and keep this one to be looked into."
    archive: str
    file: str
    line: int
    reason: str


@leaf
class InternalFault(Corrupt):
    code = "internal_fault"
    retry = Retry.SAME_KEY
    title = "Fault in the server"
    message = "The server failed; nothing was acknowledged. Reference: {reference}."
    advice = "Send the same request again with the same key; it will not happen twice."
    reference: str


@leaf
class CheckpointDiverged(Corrupt):
    code = "checkpoint_diverged"
    title = "The log contradicts its own tree head"
    message = "The log does not extend the signed tree head of size {tree_size}."
    tree_size: int


@leaf
class CheckpointDamaged(Corrupt):
    code = "checkpoint_damaged"
    title = "The checkpoint file is damaged"
    message = "The checkpoint file {path} holds no tree head: {reason}."
    advice = (
        "Put your own copy of it in its place. Do not delete it: it is what shows that nothing"
        " that was signed is missing."
    )
    path: str
    reason: str


@leaf
class StoreCorrupt(Corrupt):
    code = "store_corrupt"
    title = "Stored data is damaged"
    message = "{where} is damaged: {reason}."
    where: str
    reason: str
