"""Keys at hand: agents with API keys on a real database, and time that passes for them.

For: tests of the life of keys below HTTP.
Guarantees: `pass_time` moves what the database believes to be now: on SQLite its injected clock; on
PostgreSQL, whose own clock nobody moves, the ends of all keys come nearer instead.
Does not: keep a key's text anywhere but in the test.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from settlement.core.clock import parse_time, time_text
from settlement.core.keys import parse_key
from settlement.core.principal import ANONYMOUS, Principal, PrincipalKind
from settlement.service import api_keys
from settlement.service.callers import find_keys
from settlement.service.register import Profile, new_registration
from tests.support.logs import raw_sql
from tests.support.notes import HandClock, new_engine, opened
from tests.support.rows import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.service.engine import Engine
    from settlement.store.database import Database

BY_HAND = Principal(kind=PrincipalKind.OPERATOR, name="ops@example", scopes=frozenset({"admin"}))


@dataclass
class Holder:
    """An agent with one of its keys."""

    agent_id: str
    key_id: str
    text: str


@dataclass
class Shelf:
    """A database with keys, and an engine that runs in the calling thread."""

    db: Database
    engine: Engine
    url: str
    clock: HandClock

    def register(self, name: str = "keeper") -> Holder:
        made = new_registration(ANONYMOUS, Profile(name=name), now="")
        result = self.engine.execute(made.operation).unwrap()
        return Holder(result["agent_id"], made.operation.key.key_id, made.api_key)

    def find(self, text: str) -> Principal | None:
        """Whom the key stands for now, past every cache."""
        prefix = parse_key(text).lookup_prefix
        known = find_keys(self.db, [prefix]).get(prefix)
        return None if known is None else known.principal

    def caller(self, holder: Holder) -> Principal:
        found = self.find(holder.text)
        assert found is not None, "the key does not count"
        return found

    def make(self, holder: Holder, by: Principal | None = None, **wishes: Any) -> Holder:
        """A further key of the holder's agent."""
        made = api_keys.new_key(by or self.caller(holder), holder.agent_id, **wishes)
        result = self.engine.execute(made.operation).unwrap()
        return Holder(holder.agent_id, result["key_id"], made.api_key)

    def rotate(self, old: Holder, by: Principal | None = None, grace: int = 86_400) -> Holder:
        made = api_keys.new_rotation(by or self.caller(old), old.agent_id, old.key_id, grace)
        result = self.engine.execute(made.operation).unwrap()
        return Holder(old.agent_id, result["key_id"], made.api_key)

    def revoke(self, key: Holder, by: Principal | None = None, reason: str = "") -> dict[str, Any]:
        operation = api_keys.new_revocation(self.db, by or self.caller(key), key.key_id, reason)
        result: dict[str, Any] = self.engine.execute(operation).unwrap()
        return result

    def record(self, key: Holder) -> dict[str, Any]:
        page: list[dict[str, Any]] = api_keys.keys_page(self.db, key.agent_id)["keys"]
        (found,) = [one for one in page if one["key_id"] == key.key_id]
        return found

    def pass_time(self, seconds: int) -> None:
        """Let seconds pass at the database."""
        if self.db.kind == "sqlite":
            self.clock.advance(seconds)
            return
        for key_id, *ends in read_rows(
            self.url, "SELECT key_id, expires_at, grace_until FROM api_key"
        ):
            moved = [_earlier(end, seconds) for end in ends]
            raw_sql(
                self.url,
                f"UPDATE api_key SET expires_at = {moved[0]}, grace_until = {moved[1]} "
                f"WHERE key_id = '{key_id}'",
                without_triggers=True,
            )


def _earlier(end: str | None, seconds: int) -> str:
    if end is None:
        return "NULL"
    return f"'{time_text(parse_time(end) - seconds * 1_000_000)}'"


@contextmanager
def shelf_on(url: str) -> Iterator[Shelf]:
    """A migrated database with an engine on it."""
    clock = HandClock()
    with opened(url, clock) as db:
        yield Shelf(db, new_engine(db), url, clock)
