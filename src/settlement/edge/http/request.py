"""One request as our routes see it: who calls, under which key, with which members.

Guarantees: every request has one id, `req_` + 32 hex, shown as `X-Request-Id` and in problems; a
header sent twice is one value that no check accepts; the body is read once, bounded.
Does not: authenticate (`auth.py`) or know the members of a call (`schemas.py`).

Contract §0.3, §1.1, spec §6.1. Change colour: amber.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final, cast

from litestar import Request
from litestar.datastructures import State

from settlement.core.errors import JsonMalformed, MalformedId
from settlement.core.keys import holds_key
from settlement.core.principal import ANONYMOUS, Principal
from settlement.edge.http.body import parse_object, read_bounded
from settlement.edge.http.limiter import BUCKET_OPT, Limiter, network_of, who_calls
from settlement.service.limiting import count_alone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, MutableMapping

    from litestar.handlers import BaseRouteHandler

    from settlement.core.limits import Bucket, Charge, Standing
    from settlement.edge.http.services import HttpServices
    from settlement.edge.http.threads import CountedThreads, Threads
    from settlement.service.bundles import Bundles
    from settlement.service.log_views import LogViews

API_KEY: Final = b"x-api-key"
ADMIN_TOKEN: Final = b"x-admin-token"
IDEMPOTENCY_KEY: Final = b"idempotency-key"
REQUEST_ID_HEADER: Final = b"x-request-id"

_REQUEST_ID: Final = "settlement_request_id"
_PRINCIPAL: Final = "settlement_principal"
_MEMBERS: Final = "settlement_members"
_RAW: Final = "settlement_raw_body"
_COUNTED: Final = "settlement_counted"
_STANDING: Final = "settlement_standing"
_KEY_TEXT: Final = re.compile(r"[!-~]{1,255}")
_METHODS_WITH_BODY: Final = frozenset({"POST", "DELETE"})


def request_id(scope: Mapping[str, Any]) -> str:
    """The id of this request, made when it is first asked for."""
    state: dict[str, Any] = scope["state"]
    found: str | None = state.get(_REQUEST_ID)
    if found is None:
        found = state[_REQUEST_ID] = "req_" + os.urandom(16).hex()
    return found


def standing_of(scope: Mapping[str, Any]) -> Standing | None:
    """How the caller of this request stands, once it was counted."""
    found: Standing | None = scope["state"].get(_STANDING)
    return found


def header(scope: Mapping[str, Any], name: bytes) -> str:
    """A header's text without blanks around it; "" when absent or empty.

    One sent twice comes joined, and so is malformed wherever one value is wanted.
    """
    found = [value for key, value in scope["headers"] if key == name]
    return ", ".join(value.decode("latin-1").strip() for value in found).strip()


class EdgeRequest(Request[Any, Any, State]):
    """The request class of the app. `admit` (auth.py) has filled it before any route runs."""

    @property
    def services(self) -> HttpServices:
        """What the app was created with."""
        return cast("HttpServices", self.app.state["services"])

    @property
    def threads(self) -> Threads | CountedThreads:
        """Where blocking calls run. The first use counts the request; raises RateLimited.

        So the schema has been checked by then, and what no operation counts is counted before it
        is done (spec §1.6). An operation's call is counted in its own transaction instead.
        """
        threads = cast("Threads", self.app.state["threads"])
        charge = self.count()
        if charge is None:
            return threads
        return threads.after(lambda: self.note(count_alone(self.services.db, charge)))

    @property
    def bundles(self) -> Bundles:
        """Proof bundles."""
        return self.services.bundles

    @property
    def log_views(self) -> LogViews:
        """The log's read side."""
        return self.services.log_views

    @property
    def principal(self) -> Principal:
        """Who calls."""
        found: Principal = self._edge_state.get(_PRINCIPAL, ANONYMOUS)
        return found

    def set_principal(self, principal: Principal) -> None:
        """Called once, when the key has been checked."""
        self._edge_state[_PRINCIPAL] = principal

    @property
    def members(self) -> dict[str, Any]:
        """The body's members as parsed, before any schema."""
        found: dict[str, Any] = self._edge_state.get(_MEMBERS, {})
        return found

    async def read_members(self) -> None:
        """Read and parse the body of a method that has one."""
        if self.method in _METHODS_WITH_BODY:
            raw = await read_bounded(self._chunks(), self._announced())
            self._edge_state[_MEMBERS] = parse_object(raw)

    async def raw_body(self) -> bytes:
        """The body as it came, bounded; for routes whose callers sign it."""
        found: bytes | None = self._edge_state.get(_RAW)
        if found is None:
            found = self._edge_state[_RAW] = await read_bounded(self._chunks(), self._announced())
        return found

    # --- limits ----------------------------------------------------------------------------------

    @property
    def bucket(self) -> Bucket | None:
        """What this request is counted as."""
        route = cast("BaseRouteHandler", self.scope["route_handler"])
        found: Bucket | None = route.opt.get(BUCKET_OPT)
        return found

    def guard_address(self) -> None:
        """Check 2; raises RateLimited."""
        self._limiter.guard(self._network, self._endpoint)

    def count(self) -> Charge | None:
        """Count the request, once. A shared bucket's charge is handed out for the database."""
        if self._edge_state.get(_COUNTED):
            return None
        self._edge_state[_COUNTED] = True
        bucket = self.bucket
        if bucket is None:
            return None
        who = who_calls(self.principal, self._network, bucket)
        if bucket.shared:
            return self._limiter.charge(bucket, who, self._endpoint)
        self.note(self._limiter.count(bucket, who, self._endpoint))
        return None

    def note(self, standing: Standing | None) -> None:
        """Remember how the caller stands, for the answer's headers."""
        if standing is not None:
            self._edge_state[_STANDING] = standing

    @property
    def _limiter(self) -> Limiter:
        return cast("Limiter", self.app.state["limiter"])

    @property
    def _network(self) -> str:
        client = self.scope["client"]  # the peer, or whom a trusted proxy named
        return network_of(client[0] if client else None)

    @property
    def _endpoint(self) -> str:
        return self.scope["path_template"]

    async def body(self) -> bytes:
        """For the framework, which decodes a body only if there is one: ours are never absent."""
        return b"{}"

    @property
    def sent_key(self) -> str | None:
        """The caller's Idempotency-Key; anonymous callers have none. Raises MalformedId."""
        text = header(self.scope, IDEMPOTENCY_KEY)
        if not text or not (self.principal.is_agent or self.principal.is_operator):
            return None
        if len(text) > 1 and text[0] == text[-1] == '"':
            text = text[1:-1]
        # Kept with the outcome for good, so an API key in the wrong header must not get that far.
        if not _KEY_TEXT.fullmatch(text) or holds_key(text):
            raise MalformedId(field="Idempotency-Key")
        return text

    @property
    def _edge_state(self) -> MutableMapping[str, Any]:
        return self.scope["state"]

    def _announced(self) -> int | None:
        text = header(self.scope, b"content-length")
        return int(text) if text.isascii() and text.isdecimal() else None

    async def _chunks(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise JsonMalformed(reason="the connection ended within the body")
            chunk = cast("bytes", message.get("body", b""))
            more = bool(message.get("more_body", False))
            yield chunk
