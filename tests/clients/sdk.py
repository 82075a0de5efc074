"""The published SDK, unmodified, with a record of what came over the wire.

`SyncSdk` and `AsyncSdk` have one face: `call("go", ...)` runs the client's own method and answers
its return value; `exchanges` then holds method, path, status and headers of each request, which the
client itself throws away. Official clients ignore most of an answer; tests must not.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from aigentsy import AiGentsyClient
from aigentsy.client import AsyncAiGentsyClient

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    import httpx
    from anyio.from_thread import BlockingPortal

_numbers = itertools.count(1)
GO_MEMBERS = ("deal_id", "quote_id", "scope_lock_hash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and what it was answered with."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]


def _exchange(answer: httpx.Response) -> Exchange:
    request = answer.request
    return Exchange(
        method=request.method,
        path=request.url.path,
        status=answer.status_code,
        headers=dict(answer.headers),
    )


def fresh_name(stem: str) -> str:
    """A name nobody has registered on this server."""
    return f"{stem}_{os.getpid()}_{next(_numbers)}"


class Sdk(Protocol):
    """What the two SDKs have in common for a test."""

    exchanges: list[Exchange]
    url: str

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any: ...
    @property
    def key(self) -> str | None: ...


class _Recorded:
    """Status of the last answer, and a registration as every journey needs it."""

    exchanges: list[Exchange]
    #: Whose key the client holds, once it has registered.
    agent_id = ""

    @property
    def last(self) -> Exchange:
        return self.exchanges[-1]

    def ok(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Run a method whose answer must be 200 and say so."""
        body = self.call(method, *args, **kwargs)
        assert self.last.status == 200, self.last
        assert body["ok"] is True, body
        return body

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def registered(self, stem: str = "agent") -> str:
        """Register under a new name; the agent's id. The client keeps the key."""
        self.agent_id = str(self.ok("register", fresh_name(stem), ["marketing"])["agent_id"])
        return self.agent_id

    def approved(self, seller: str, **pack: Any) -> dict[str, Any]:
        """A proof pack and its GO: the pack's answer with GO's amount as `approved`."""
        made: dict[str, Any] = self.ok("create_proof_pack", seller, **pack)
        go = self.ok("go", *(made[name] for name in GO_MEMBERS))
        return {**made, "approved": go["amount"], "go_key": go["go_key"]}


class SyncSdk(_Recorded):
    """`aigentsy.AiGentsyClient`."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url
        self.exchanges = []
        self.client = AiGentsyClient(url, api_key=key)
        self.client._client.event_hooks["response"].append(self._record)

    def _record(self, answer: httpx.Response) -> None:
        self.exchanges.append(_exchange(answer))

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.client, method)(*args, **kwargs)

    @property
    def key(self) -> str | None:
        held: str | None = self.client._api_key
        return held

    def __enter__(self) -> SyncSdk:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client._client.close()


class AsyncSdk(_Recorded):
    """`aigentsy.client.AsyncAiGentsyClient`, driven on a loop in another thread."""

    def __init__(self, url: str, portal: BlockingPortal) -> None:
        self.url = url
        self.exchanges = []
        self.portal = portal
        self.client = portal.call(AsyncAiGentsyClient, url)
        self.client._client.event_hooks["response"].append(self._record)

    async def _record(self, answer: httpx.Response) -> None:
        self.exchanges.append(_exchange(answer))

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self.portal.call(partial(getattr(self.client, method), *args, **kwargs))

    @property
    def key(self) -> str | None:
        held: str | None = self.client._api_key
        return held

    def __enter__(self) -> AsyncSdk:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.portal.call(self.client._client.aclose)
