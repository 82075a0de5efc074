"""A served protocol for the conformance tests: in process, or at the address that AME_BASE names.

Guarantees: what is asserted is what came over the wire; the tests recompute it with the standard
library, as a stranger would (spec §18.1).
Does not: reach behind the answers.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_names = itertools.count(1)
#: (method, path, body, headers) -> (status, text)
Send = "Callable[[str, str, bytes | None, dict[str, str]], tuple[int, str]]"


@dataclass(frozen=True, slots=True)
class Party:
    """A registered agent."""

    agent_id: str
    api_key: str


@dataclass(frozen=True, slots=True)
class Served:
    """Calls, and a deal on its way."""

    send: Callable[[str, str, bytes | None, dict[str, str]], tuple[int, str]]

    def call(
        self, method: str, path: str, body: object = None, by: Party | None = None
    ) -> tuple[int, Any]:
        """One request; status and the JSON of its answer."""
        headers = {"Content-Type": "application/json"}
        if by is not None:
            headers["X-API-Key"] = by.api_key
        content = None if body is None else json.dumps(body).encode()
        status, text = self.send(method, path, content, headers)
        return status, json.loads(text)

    def ok(self, method: str, path: str, body: object = None, by: Party | None = None) -> Any:
        """As `call`, for what must be answered 200."""
        status, answer = self.call(method, path, body, by)
        assert status == 200, (path, status, answer)
        return answer

    def finished(self, path: str, body: object, by: Party) -> Any:
        """As `ok`, asked again while the answer is not final."""
        for _ in range(60):
            status, answer = self.call("POST", path, body, by)
            if status != 202:
                assert status == 200, (path, status, answer)
                return answer
        raise AssertionError(f"{path} never became final: {answer}")

    def party(self, stem: str) -> Party:
        """Register one."""
        made = self.ok("POST", "/protocol/register", {"name": f"{stem} {next(_names)}"})
        return Party(made["agent_id"], made["api_key"])

    def pack(self, seller: Party, **members: Any) -> Any:
        """A proof pack of 100.00."""
        body = {
            "agent_username": seller.agent_id,
            "vertical": "marketing",
            "sku_id": "social_media",
            "proof_type": "creative_preview",
            "scope_summary": "Logo, café menu €5",
            "proof_data": {"preview_url": "https://example.org/preview"},
            "price": "100.00",
            **members,
        }
        return self.ok("POST", "/protocol/proof-pack", body, seller)
