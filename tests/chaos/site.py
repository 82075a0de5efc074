"""Servers under attack, seen from outside: register, make deals, race calls, read what became.

Guarantees: what is asserted is read from the timeline (events and ledger), and, where the servers
are ours, from the simulated rail's own book and `settlement audit`.
Does not: use a client of ours or theirs; a race needs the raw answers.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, build_opener

from tests.support.callers import ask_until_final, read, run_many, split_calls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.callers import Row
    from tests.support.server import Deployment

PROCESSES = 4
_names = itertools.count(1)
_plain = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A registered agent and its key."""

    agent_id: str
    api_key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.api_key}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One or more servers on one database. Without a deployment they are not ours."""

    bases: list[str]
    deployment: Deployment | None = None

    def plan(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """A call as `tests.support.callers` makes it."""
        return {
            "bases": self.bases,
            "path": path,
            "body": dict(body),
            "headers": dict(headers or {}),
        }

    def post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """One call that must come to 200; its body."""
        rows = ask_until_final(self.plan(path, body, headers))
        assert rows[-1].get("status") == 200, rows
        return read(rows[-1])

    def get(self, path: str) -> Any:
        """A public page of the first server."""
        with _plain.open(self.bases[0] + path, timeout=30) as answer:
            return json.loads(answer.read())

    def timeline(self, deal: str) -> dict[str, Any]:
        """Events and ledger rows of a deal."""
        found: dict[str, Any] = self.get(f"/protocol/deals/{deal}/timeline")
        return found

    def agent(self, stem: str = "chaos") -> Agent:
        """Register a new agent."""
        made = self.post("/protocol/register", {"name": f"{stem}_{next(_names)}"})
        return Agent(agent_id=made["agent_id"], api_key=made["api_key"])

    def pack(self, seller: Agent) -> dict[str, Any]:
        """A proof pack of the seller, not approved yet."""
        return self.post("/protocol/proof-pack", {"agent_username": seller.agent_id})

    def race(
        self,
        calls: int,
        path: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> list[list[Row]]:
        """The same call from several processes against all servers at once; rows per call."""
        plan = self.plan(path, body, headers)
        return run_many([{**plan, "calls": n} for n in split_calls(calls, PROCESSES)])

    def rail_kinds(self, deal: str) -> list[str] | None:
        """What the rail did for a deal, by its own book; None when the rail is not ours."""
        if self.deployment is None:
            return None
        return [line.kind for line in self.deployment.rail_entries() if line.deal_id == deal]

    def audit(self) -> None:
        """Nothing is wrong in the whole database, if it is ours."""
        if self.deployment is not None:
            self.deployment.assert_audit_is_clean()
