"""After a session that makes, uses and misuses keys, no place but the answers that made them holds
one: not the database's files or tables, not a log at level debug, not an error answer.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.key_search import assert_no_keys, database_bytes

if TYPE_CHECKING:
    from tests.support.server import Deployment, Server

pytestmark = pytest.mark.chaos
WRONG_JSON = '{"api_key": "%s"'


@dataclass
class Session:
    """Calls of one server; keeps the keys it was given and every refusal."""

    server: Server
    keys: list[str] = field(default_factory=list)
    refusals: list[bytes] = field(default_factory=list)

    def call(
        self,
        path: str,
        body: dict[str, Any] | str | None = None,
        key: str = "",
        **headers: str,
    ) -> dict[str, Any]:
        """One request; GET without a body."""
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=30)
        sent = {"Content-Type": "application/json", **headers}
        if key:
            sent["X-API-Key"] = key
        text = body if isinstance(body, str) else None if body is None else json.dumps(body)
        try:
            connection.request("GET" if body is None else "POST", path, text, sent)
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            self.refusals.append(raw)
        found: dict[str, Any] = json.loads(raw)
        if "api_key" in found:
            self.keys.append(found["api_key"])
        return found


def lead_a_life(session: Session) -> None:
    """Register, create, rotate, revoke and use keys as they are meant to be."""
    first = session.call("/protocol/register", {"name": "first"})["api_key"]
    made = session.call("/protocol/keys", {"name": "second"}, first)
    rotated = session.call(f"/protocol/keys/{made['key_id']}/rotate", {}, first)
    for key in (first, made["api_key"], rotated["api_key"]):
        session.call("/protocol/payouts", key=key)
        session.call("/protocol/keys/validate", {"api_key": key})
    pack = session.call("/protocol/proof-pack", {}, rotated["api_key"])
    session.call("/protocol/settle", {"deal_id": pack["deal_id"]}, rotated["api_key"])
    session.call(f"/protocol/keys/{made['key_id']}/rotate", {}, first)
    session.call(f"/protocol/keys/{made['key_id']}/revoke", {"reason": "old"}, first)
    session.call("/protocol/payouts", key=made["api_key"])


def misuse(session: Session, key: str) -> None:
    """Put a key wherever somebody in a hurry puts one."""
    session.call(f"/protocol/keys/{key}/revoke", {}, key)
    session.call(f"/protocol/reputation/{key}")
    session.call(f"/protocol/payouts?cursor={key}", key=key)
    session.call(f"/{key}")
    session.call("/protocol/payouts", key=key[:-1])
    session.call("/protocol/payouts", key=f"{key}, {key}")
    session.call("/protocol/payouts", Authorization=f"Bearer {key}")
    session.call("/protocol/settle", {"deal_id": key}, key)
    session.call("/protocol/settle", {"deal_id": "deal_x"}, key, **{"Idempotency-Key": key})
    session.call("/protocol/settle", WRONG_JSON % key, key)
    session.call("/protocol/keys", {"scopes": [key]}, key)
    session.call("/protocol/keys", {"expires_at": key}, key)
    session.call("/protocol/keys/validate", {"api_key": key, "scope": key}, key)


def test_no_usable_key_is_anywhere_but_in_the_answer_that_made_it(deployment: Deployment) -> None:
    """Catches a key kept with an outcome, an event or a row, written to a log, or echoed."""
    server = deployment.server(SETTLEMENT_LOG_LEVEL="debug")
    session = Session(server)
    lead_a_life(session)
    for key in session.keys[:]:
        misuse(session, key)
    assert len(session.keys) >= 3
    assert len(session.refusals) >= 20
    # Once while the server runs and SQLite's log is full, and once after it has stopped.
    blobs = {**database_bytes(deployment.database), "answers": b"\n".join(session.refusals)}
    if deployment.database.startswith("sqlite"):
        assert any(name.endswith("-wal") for name in blobs)
    assert_no_keys(session.keys, blobs)
    server.stop()
    for path in deployment.directory.rglob("*"):
        if path.is_file() and path.stat().st_size:
            blobs[str(path.relative_to(deployment.directory))] = path.read_bytes()
    assert server.log.name in blobs
    assert_no_keys(session.keys, {**blobs, **database_bytes(deployment.database)})
