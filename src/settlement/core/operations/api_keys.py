"""Create, rotate and revoke an API key.

For: the routes of `/protocol/keys` and `settlement keys`.
Guarantees: the key that calls must count in the very transaction, so one that was revoked never
makes another, however short ago. Nobody gets a key that opens more than the calling key does, by a
new key or by rotating a wider one. A key has one successor: its row changes only from the status
that was read, and every step extends its agent's one chain; whoever comes second is decided anew.
Does not: draw secrets (the service does), or take a claim: the answers hold a plaintext key, which
is never stored (spec §6.1).

Spec §12.1. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.api_keys import (
    ADMIN,
    GRACE_SECONDS_MAX,
    KEYS,
    ApiKey,
    KeyStatus,
    counts,
    record_of,
    scopes_of,
    status_of,
)
from settlement.core.canonical import sha256_hex
from settlement.core.clock import SECOND_US, time_text
from settlement.core.errors import (
    AdminNotGrantable,
    AgentNotFound,
    AlreadyRotated,
    InvalidField,
    KeyInvalid,
    KeyNotActive,
    KeyNotFound,
    ScopeMissing,
)
from settlement.core.events import FROM_CALL, Actor, Chain
from settlement.core.ids import system_stream
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import authority_of
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import KeyChange, WriteSet

if TYPE_CHECKING:
    from settlement.core.canonical import Json
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


def by_hand(principal: Principal) -> bool:
    """Whoever runs the service, at its own machine: no agent, and so no key, behind it."""
    return principal.is_operator and principal.agent_id is None


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeyOperation:
    """What the three have in common. `agent_id`: whose key it is."""

    principal: Principal
    agent_id: str

    name: ClassVar[str] = ""

    def call(self) -> Call:
        """No keys: the answer must not be stored."""
        return Call(principal=self.principal, operation=self.name)

    def footprint(self) -> Footprint:
        """No deal."""
        return Footprint()

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def _needs(self, *key_ids: str) -> Needs:
        caller = self.principal
        keys = key_ids if caller.key_id is None else (*key_ids, caller.key_id)
        agents = {self.agent_id} if caller.agent_id is None else {self.agent_id, caller.agent_id}
        return Needs(
            agents=tuple(sorted(agents)),
            api_keys=keys,
            chains=(system_stream(self.agent_id),),
        )

    def _check_caller(self, state: State, ctx: Context) -> None:
        """Check 3 once more: what let the caller in may be up to a second old."""
        caller = self.principal
        if caller.agent_id is None or caller.key_id is None:
            return
        agent, key = state.agents[caller.agent_id], state.api_keys[caller.key_id]
        if agent is None or agent.status != "active" or key is None or not counts(key, ctx.clock):
            raise KeyInvalid()
        if not scopes_of(key) & {KEYS, ADMIN}:  # lost, if it was rotated since
            raise ScopeMissing(scope=KEYS)

    def _check_grant(self, scopes: frozenset[str]) -> None:
        """Raise ScopeMissing when the caller would get more than it has."""
        held = self.principal.scopes
        if by_hand(self.principal) or ADMIN in held:
            return
        for scope in sorted(scopes - held):
            raise ScopeMissing(scope=scope)

    def _get(self, state: State, key_id: str) -> ApiKey:
        key = state.api_keys[key_id]
        if key is None or key.agent_id != self.agent_id:
            raise KeyNotFound(key_id=key_id)
        return key

    def _chain(self, state: State, ctx: Context, writes: WriteSet) -> Chain:
        stream = system_stream(self.agent_id)
        head = state.chains[stream]
        return Chain(
            deal_id=stream,
            version=head.version,
            head_hash=head.head_hash,
            ctx=ctx,
            writes=writes,
        )

    def _actor(self) -> Actor:
        caller = self.principal
        return Actor(
            actor_id=caller.agent_id or caller.name or caller.kind.value,
            authority=authority_of(caller),
            source=FROM_CALL if caller.agent_id else "operator",
        )

    def _created(self, chain: Chain, key: ApiKey) -> None:
        chain.append(
            "KEY_CREATED",
            self._actor(),
            {
                "agent_id": key.agent_id,
                "key_id": key.key_id,
                "scopes": json.loads(key.scopes),
                "expires_at": key.expires_at,
                "rotated_from": key.rotated_from,
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateKey(_KeyOperation):
    """A further key of an agent; `key` is the row but for its time."""

    name: ClassVar[str] = "key_create"

    key: ApiKey

    def needs(self, state: State, ctx: Context) -> Needs:
        """The owner, its chain, and the calling key."""
        return self._needs()

    def decide(self, state: State, ctx: Context) -> Decision:
        """Write the key and KEY_CREATED."""
        self._check_caller(state, ctx)
        scopes = frozenset(json.loads(self.key.scopes))
        if ADMIN in scopes and not by_hand(self.principal):
            raise AdminNotGrantable()
        self._check_grant(scopes)
        if state.agents[self.agent_id] is None:
            raise AgentNotFound(agent_id=self.agent_id)
        if self.key.expires_at is not None and self.key.expires_at <= ctx.clock:
            raise InvalidField(field="expires_at", reason="must be in the future")

        # ---- point of no return: construction only
        writes = WriteSet()
        key = replace(self.key, created_at=ctx.now)
        writes.api_keys.append(key)
        self._created(self._chain(state, ctx, writes), key)
        return Decision(result=record_of(key, ctx.clock), writes=writes)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateKey(_KeyOperation):
    """Give an active key its successor; the old one counts for a grace without scope `keys`.

    `successor` brings id, prefix and digest; all else is the old key's.
    """

    name: ClassVar[str] = "key_rotate"

    key_id: str
    successor: ApiKey
    grace_seconds: int

    def needs(self, state: State, ctx: Context) -> Needs:
        """The key, the one before it, the calling key, and the chain."""
        return self._needs(self.key_id)

    def decide(self, state: State, ctx: Context) -> Decision:
        """Write both keys, end an earlier grace, and say so."""
        if not 0 <= self.grace_seconds <= GRACE_SECONDS_MAX:
            reason = f"must be 0 to {GRACE_SECONDS_MAX}"
            raise InvalidField(field="grace_seconds", reason=reason)
        old = self._get(state, self.key_id)
        # Before the calling key is looked at: it may be this one, and the first of many who rotated
        # it at once has just taken its scope away. The others are told what happened.
        if old.status == KeyStatus.GRACE:
            raise AlreadyRotated(key_id=old.key_id)
        self._check_caller(state, ctx)
        status = status_of(old, ctx.clock)
        if status is not KeyStatus.ACTIVE:
            raise KeyNotActive(key_id=old.key_id, status=status.value)
        self._check_grant(scopes_of(old))

        # ---- point of no return: construction only
        writes = WriteSet()
        grace_until = time_text(ctx.due_us + self.grace_seconds * SECOND_US)
        self._change(writes, old, status=KeyStatus.GRACE.value, grace_until=grace_until)
        ended = self._end_grace_before(state, ctx, writes, old)
        new = replace(
            self.successor,
            name=old.name,
            scopes=old.scopes,
            expires_at=old.expires_at,
            rotated_from=old.key_id,
            created_at=ctx.now,
        )
        writes.api_keys.append(new)
        chain = self._chain(state, ctx, writes)
        payload: dict[str, Json] = {
            "agent_id": old.agent_id,
            "key_id": old.key_id,
            "successor_id": new.key_id,
            "grace_until": grace_until,
            "grace_ended_id": ended,
        }
        chain.append("KEY_ROTATED", self._actor(), payload)
        self._created(chain, new)
        # The member is the old key's: until when it still counts.
        return Decision(
            result={**record_of(new, ctx.clock), "grace_until": grace_until}, writes=writes
        )

    def _end_grace_before(
        self, state: State, ctx: Context, writes: WriteSet, old: ApiKey
    ) -> str | None:
        before = state.api_keys.get(old.rotated_from) if old.rotated_from is not None else None
        if before is None or status_of(before, ctx.clock) is not KeyStatus.GRACE:
            return None
        self._change(writes, before, grace_until=ctx.clock)
        return before.key_id

    @staticmethod
    def _change(writes: WriteSet, key: ApiKey, **changes: str) -> None:
        changed = replace(key, **changes)
        writes.api_keys_changed.append(KeyChange(key=changed, expected_status=key.status))


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeKey(_KeyOperation):
    """End a key at once, in its grace too; again is the same answer."""

    name: ClassVar[str] = "key_revoke"

    key_id: str
    reason: str = ""

    def needs(self, state: State, ctx: Context) -> Needs:
        """The key, the calling key, and the chain."""
        return self._needs(self.key_id)

    def decide(self, state: State, ctx: Context) -> Decision:
        """Write the end and KEY_REVOKED, unless it is revoked already."""
        self._check_caller(state, ctx)
        key = self._get(state, self.key_id)
        if key.status == KeyStatus.REVOKED:
            return Decision(result=record_of(key, ctx.clock), writes=WriteSet())

        # ---- point of no return: construction only
        writes = WriteSet()
        revoked = replace(
            key,
            status=KeyStatus.REVOKED.value,
            revoked_at=ctx.now,
            revoke_reason=self.reason or None,
        )
        writes.api_keys_changed.append(KeyChange(key=revoked, expected_status=key.status))
        self._chain(state, ctx, writes).append(
            "KEY_REVOKED",
            self._actor(),
            {
                "agent_id": key.agent_id,
                "key_id": key.key_id,
                "reason_hash": sha256_hex(self.reason),
            },
        )
        return Decision(result=record_of(revoked, ctx.clock), writes=writes)
