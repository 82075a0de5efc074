"""Who calls, and may they: keys, classes and scopes (contract §0.2, §0.3).

Guarantees: a key that is sent and does not count is 401 everywhere, open calls included; it never
falls back to anonymous. Its check digits are tested before anything is read, its digest compared in
constant time. A found key is trusted for less than a second and never past its end, and not at all
in the process that revoked or rotated it: a key revoked anywhere is refused everywhere in a second.
`admit` runs before every route, in the order of spec §1.6: body, address, key, scope.
Does not: decide what a party may do; operations do.

Change colour: red.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from settlement.core.errors import (
    ActorMismatch,
    KeyInvalid,
    KeyRequired,
    MethodNotAllowed,
    RouteNotFound,
    ScopeMissing,
)
from settlement.core.keys import key_digest, parse_key, same_digest
from settlement.core.principal import ANONYMOUS, Principal, PrincipalKind
from settlement.edge.http.request import ADMIN_TOKEN, API_KEY, EdgeRequest, header
from settlement.service.callers import KnownKey, find_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar import Request
    from litestar.handlers import BaseRouteHandler

    from settlement.core.writeset import WriteSet
    from settlement.edge.http.threads import Threads
    from settlement.store.database import Database

ADMIN_SCOPE: Final = "admin"
#: With the read itself, a revocation counts within one second (spec §12.1).
TRUST_SECONDS: Final = 0.9
_KEYS_KEPT_MAX: Final = 20_000
ACCESS_OPT: Final = "access"
_STRAY_PAGE: Final = "handle_schema_path_not_found"

TOKEN_OPERATOR: Final = Principal(kind=PrincipalKind.OPERATOR, scopes=frozenset({ADMIN_SCOPE}))


class AccessClass(StrEnum):
    """The classes of contract §0.2; `X`: health and pages, which ignore the key header."""

    PUBLIC = "P"
    WRITE = "W"
    GO = "G"
    OPEN = "O"
    KEYED = "K"
    ADMIN = "A"
    SIGNED = "H"
    KEY_IGNORED = "X"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may call a route. Every route declares one."""

    letter: AccessClass
    scope: str | None = None
    #: Lets a key in its grace in, although it lost the scope: the route says why it is too late.
    superseded: bool = False

    def __str__(self) -> str:
        return f"{self.letter}({self.scope})" if self.scope else self.letter.value


PUBLIC: Final = Access(letter=AccessClass.PUBLIC)
WRITE: Final = Access(letter=AccessClass.WRITE)
GO: Final = Access(letter=AccessClass.GO, scope="go")
ADMIN: Final = Access(letter=AccessClass.ADMIN)
SIGNED: Final = Access(letter=AccessClass.SIGNED)
KEY_IGNORED: Final = Access(letter=AccessClass.KEY_IGNORED)


def open_to(scope: str) -> Access:
    """O(scope): open in sandbox, a key with the scope in live."""
    return Access(letter=AccessClass.OPEN, scope=scope)


def keyed(scope: str) -> Access:
    """K(scope): a key with the scope in both modes."""
    return Access(letter=AccessClass.KEYED, scope=scope)


#: A key, if it counts; until when it may be trusted; what `_changes` was before it was read.
_Found: TypeAlias = "tuple[KnownKey | None, float, int]"


class KeyRing:
    """Finds API keys, many in one read, and trusts a found one for less than a second."""

    def __init__(
        self, db: Database, threads: Threads, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._db = db
        self._threads = threads
        self._clock = clock
        self._kept: dict[str, tuple[Principal, float]] = {}
        #: Counts the commits that changed keys: a read that began before one is not kept.
        self._changes = 0
        self._wanted: dict[str, asyncio.Future[_Found]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def principal_of(self, text: str) -> Principal:
        """The caller whose key this is; raises KeyInvalid for any reason alike."""
        # Kept under the digest of the whole key, so a key that is found here was checked in full.
        kept = self._kept.get(digest := key_digest(text))
        if kept is not None and self._clock() < kept[1]:
            return kept[0]
        parsed = parse_key(text)
        known, until, changes = await self._find(parsed.lookup_prefix)
        if known is None or not same_digest(known.digest, parsed.digest):
            raise KeyInvalid()
        if len(self._kept) > _KEYS_KEPT_MAX:
            self._kept.clear()
        self._kept[digest] = (known.principal, until)
        if changes != self._changes:  # asked after keeping: the committer counts, then forgets
            self._kept.pop(digest, None)
        return known.principal

    def committed(self, writes: WriteSet) -> None:
        """Forget the keys that a commit of this process changed: here it counts at once.

        For the engine, which tells before it answers the caller; any thread.
        """
        if writes.api_keys_changed:
            self._changes += 1
            for change in writes.api_keys_changed:
                self._kept.pop(change.key.digest, None)

    async def _find(self, prefix: str) -> _Found:
        wanted = self._wanted.get(prefix)
        if wanted is None:
            wanted = self._wanted[prefix] = asyncio.get_running_loop().create_future()
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_wanted())
        # Shielded: the caller who leaves must not take the answer from those who share it.
        return await asyncio.shield(wanted)

    async def _read_wanted(self) -> None:
        try:
            while self._wanted:
                batch, self._wanted = self._wanted, {}
                await self._read_batch(batch)
        finally:
            self._reader = None

    async def _read_batch(self, batch: dict[str, asyncio.Future[_Found]]) -> None:
        # Taken before the read: what is revoked after it must not be trusted longer.
        start, changes = self._clock(), self._changes
        reading = self._threads.key(find_keys, self._db, list(batch))
        await asyncio.wait([reading])
        error = reading.exception()
        if error is not None:  # whatever it is, everybody who waits for this read is told
            for wanted in batch.values():
                wanted.set_exception(error)
            return
        found = reading.result()
        for prefix, wanted in batch.items():
            known = found.get(prefix)
            wanted.set_result((known, start + _trusted(known), changes))


def _trusted(known: KnownKey | None) -> float:
    """Seconds for which a found key may be trusted, counted from before it was read.

    `left_us` was measured by the database during the read, so this ends no later than the key.
    """
    if known is None or known.left_us is None:
        return TRUST_SECONDS
    return min(TRUST_SECONDS, known.left_us / 1_000_000)


async def admit(connection: Request[Any, Any, Any]) -> None:
    """Runs before every route: read the body, find the caller, check class and scope.

    A hook, not a framework's guard: for each guard the framework copies the whole route handler.
    """
    request = cast("EdgeRequest", connection)
    route = cast("BaseRouteHandler", request.scope["route_handler"])
    if request.method == "OPTIONS":
        # The framework would answer 204, which clients cannot parse (contract §1.1).
        allow: dict[str, str] = request.app.state["allow"]
        raise MethodNotAllowed(method="OPTIONS", allow=allow[request.scope["path_template"]])
    if route.handler_name == _STRAY_PAGE:
        # Below the API page the framework answers in HTML; ours is a problem like any other.
        raise RouteNotFound(path=request.scope["path"])
    access: Access = route.opt[ACCESS_OPT]
    if access.letter is AccessClass.SIGNED:
        await request.raw_body()
        request.guard_address()
        return
    await request.read_members()
    if access.letter is AccessClass.KEY_IGNORED:
        # Never counted: a balancer that is told 429 by /ready takes the server out of service.
        return
    request.guard_address()
    request.set_principal(await _caller(request, access))
    check_access(request.principal, access, sandbox=request.services.settings.sandbox)


async def _caller(request: EdgeRequest, access: Access) -> Principal:
    text = header(request.scope, API_KEY)
    if text:
        ring: KeyRing = request.app.state["key_ring"]
        return await ring.principal_of(text)
    if access.letter is AccessClass.ADMIN:
        return _token_holder(request)
    return ANONYMOUS


def _token_holder(request: EdgeRequest) -> Principal:
    shown = header(request.scope, ADMIN_TOKEN)
    if not shown:
        return ANONYMOUS
    expected = request.services.settings.admin_token
    if not expected or not hmac.compare_digest(shown.encode(), expected.encode()):
        raise KeyInvalid()
    return TOKEN_OPERATOR


def check_access(caller: Principal, access: Access, *, sandbox: bool) -> None:
    """Raise KeyRequired or ScopeMissing where the class asks for more than the caller has."""
    match access.letter:
        case AccessClass.ADMIN:
            _need(caller, ADMIN_SCOPE)
        case AccessClass.KEYED if access.superseded and caller.superseded:
            return
        case AccessClass.KEYED:
            _need(caller, access.scope)
        case AccessClass.OPEN if not sandbox:
            _need(caller, access.scope)
        case AccessClass.GO if not sandbox and caller.is_agent:
            _need(caller, access.scope)
        case _:
            return


def _need(caller: Principal, scope: str | None) -> None:
    if caller.kind is PrincipalKind.ANONYMOUS:
        raise KeyRequired()
    if scope is not None and scope not in caller.scopes and ADMIN_SCOPE not in caller.scopes:
        raise ScopeMissing(scope=scope)


def acting_as(caller: Principal, named: str | None, field: str) -> str | None:
    """Who acts: the key's agent; without a key, the name claimed (contract §0.3.3).

    Raises ActorMismatch when the body names another agent than the key's; operators may.
    """
    if caller.agent_id is None:
        return named
    if named is None or named == caller.agent_id:
        return caller.agent_id
    if caller.is_operator:
        return named
    raise ActorMismatch(field=field)


def acting_name(caller: Principal, named: str | None, field: str) -> str | None:
    """As `acting_as`, where the agent's registered name counts as well (proof-pack)."""
    if caller.agent_id is not None and named == caller.name:
        return caller.agent_id
    return acting_as(caller, named, field)
