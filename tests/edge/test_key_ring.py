"""Keys at the edge: revocation within a second, shared look-ups, a database that is away."""

from __future__ import annotations

import asyncio
import os
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from settlement.core.clock import time_text
from settlement.core.errors import DatabaseUnavailable, KeyInvalid
from settlement.core.keys import SECRET_BYTES, format_key, key_digest
from settlement.core.principal import Principal, PrincipalKind
from settlement.core.writeset import KeyChange, WriteSet
from settlement.edge.http import auth
from settlement.edge.http.auth import TRUST_SECONDS, KeyRing
from settlement.edge.http.threads import Threads
from settlement.service.api_keys import draw_key
from settlement.service.callers import KnownKey, find_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from settlement.store.database import Database
    from tests.edge.world import World


class Shelf:
    """Keys that the ring may find, and how often it asked."""

    def __init__(self) -> None:
        self.keys: dict[str, KnownKey] = {}
        self.asked: list[list[str]] = []
        self.failure: Exception | None = None
        self.now = 0.0

    def add(self) -> tuple[str, str]:
        """A new key; its text and its prefix."""
        text = format_key(secrets.token_hex(8), os.urandom(SECRET_BYTES))
        agent = Principal(kind=PrincipalKind.AGENT, agent_id=f"agent_{len(self.keys)}")
        prefix = text[:20]
        self.keys[prefix] = KnownKey(digest=key_digest(text), principal=agent)
        return text, prefix

    def find(self, _db: object, prefixes: Sequence[str]) -> dict[str, KnownKey]:
        self.asked.append(list(prefixes))
        if self.failure is not None:
            raise self.failure
        return {name: self.keys[name] for name in prefixes if name in self.keys}


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf()
    monkeypatch.setattr(auth, "find_keys", made.find)
    return made


def ring(shelf: Shelf) -> KeyRing:
    # The shelf stands in for what the ring reads, and for its clock.
    return KeyRing(cast("Database", None), Threads(), clock=lambda: shelf.now)


def test_a_found_key_is_trusted_for_less_than_a_second(shelf: Shelf) -> None:
    text, prefix = shelf.add()

    async def story() -> None:
        keys = ring(shelf)
        assert (await keys.principal_of(text)).agent_id == "agent_0"
        shelf.now = TRUST_SECONDS - 0.01
        del shelf.keys[prefix]  # revoked
        await keys.principal_of(text)
        shelf.now = TRUST_SECONDS
        with pytest.raises(KeyInvalid):
            await keys.principal_of(text)

    assert TRUST_SECONDS < 1
    asyncio.run(story())
    assert len(shelf.asked) == 2


def test_a_key_that_is_not_found_is_never_kept(shelf: Shelf) -> None:
    text, prefix = shelf.add()
    hidden = shelf.keys.pop(prefix)

    async def story() -> None:
        keys = ring(shelf)
        with pytest.raises(KeyInvalid):
            await keys.principal_of(text)
        shelf.keys[prefix] = hidden
        await keys.principal_of(text)

    asyncio.run(story())


def test_keys_wanted_together_are_read_together(shelf: Shelf) -> None:
    made = [shelf.add()[0] for _ in range(50)]

    async def story() -> list[Principal]:
        keys = ring(shelf)
        return await asyncio.gather(*(keys.principal_of(text) for text in made * 3))

    found = asyncio.run(story())
    assert [one.agent_id for one in found[:50]] == [f"agent_{n}" for n in range(50)]
    assert len(shelf.asked) == 1
    assert len(shelf.asked[0]) == 50


def test_malformed_keys_are_refused_before_anything_is_read(shelf: Shelf) -> None:
    text, _ = shelf.add()
    wrong = [text[:-1] + "~", text + "0", "", "a2a_", text.upper(), text[:30] + "x" + text[31:]]

    async def story() -> None:
        keys = ring(shelf)
        for bad in wrong:
            with pytest.raises(KeyInvalid):
                await keys.principal_of(bad)

    asyncio.run(story())
    assert shelf.asked == []


def test_the_digest_decides_not_the_prefix(shelf: Shelf) -> None:
    text, prefix = shelf.add()
    forged = format_key(prefix[4:], os.urandom(SECRET_BYTES))

    async def story() -> None:
        keys = ring(shelf)
        await keys.principal_of(text)
        with pytest.raises(KeyInvalid):
            await keys.principal_of(forged)

    asyncio.run(story())


@pytest.mark.parametrize("failure", [DatabaseUnavailable(reason="away"), RuntimeError("a fault")])
def test_when_keys_cannot_be_read_every_waiter_is_told(shelf: Shelf, failure: Exception) -> None:
    made = [shelf.add()[0] for _ in range(5)]
    shelf.failure = failure

    async def story() -> None:
        keys = ring(shelf)
        tries = (keys.principal_of(text) for text in made)
        told = await asyncio.wait_for(asyncio.gather(*tries, return_exceptions=True), timeout=5)
        assert [type(one) for one in told] == [type(failure)] * 5
        shelf.failure = None
        await keys.principal_of(made[0])

    asyncio.run(story())


def test_a_caller_who_leaves_does_not_take_the_answer_along(shelf: Shelf) -> None:
    text, _ = shelf.add()

    async def story() -> None:
        keys = ring(shelf)
        first = asyncio.create_task(keys.principal_of(text))
        second = asyncio.create_task(keys.principal_of(text))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).agent_id == "agent_0"

    asyncio.run(story())


# --- what counts, by the database's time ---------------------------------------------------------


def counted(live: World, **changes: str | None) -> KnownKey | None:
    agent = live.key_with(["read", "keys"], f"key {secrets.token_hex(4)}", **changes)
    prefix = agent.key[:20]
    return find_keys(live.services.db, [prefix]).get(prefix)


def test_only_keys_that_count_now_are_found(either: World) -> None:
    long_ago, far = "2020-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"
    assert counted(either) is not None
    assert counted(either, expires_at=far) is not None
    assert counted(either, expires_at=long_ago) is None
    assert counted(either, status="revoked") is None
    assert counted(either, status="revoked", expires_at=far) is None
    assert counted(either, status="grace", grace_until=long_ago) is None
    assert counted(either, status="grace") is None
    in_grace = counted(either, status="grace", grace_until=far)
    assert in_grace is not None
    assert in_grace.principal.scopes == {"read"}


def test_a_key_with_admin_is_an_operator(either: World) -> None:
    operator = either.agents["operator"]
    found = find_keys(either.services.db, [operator.key[:20]])[operator.key[:20]]
    assert found.principal.kind is PrincipalKind.OPERATOR
    assert found.principal.agent_id == operator.agent_id


# --- what was invented, what ends, what changed --------------------------------------------------

INVENTED = 1_000_000
_LETTERS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HEX = b"0123456789abcdef"


def invented(count: int) -> Iterator[str]:
    """Random texts with our prefix and of our length."""
    letters = bytes(_LETTERS[n % len(_LETTERS)] for n in range(256))
    hexes = bytes(_HEX[n % len(_HEX)] for n in range(256))
    for _ in range(count):
        noise = os.urandom(65)
        head, tail = noise[:16].translate(hexes), noise[16:].translate(letters)
        yield f"a2a_{head.decode()}_{tail.decode()}"


def test_a_million_invented_keys_reach_the_database_at_most_once(shelf: Shelf) -> None:
    """Catches a look-up before the check digits: a flood of guesses would be a flood of reads.

    Of 2^32 guesses one has the right digits, so a million meet one in four thousand runs.
    """

    async def story() -> int:
        keys, refused = ring(shelf), 0
        for text in invented(INVENTED):
            try:
                await keys.principal_of(text)
            except KeyInvalid:
                refused += 1
            assert len(shelf.asked) <= 1  # at once: each further read takes its time
        return refused

    assert asyncio.run(story()) == INVENTED


def test_a_key_is_not_trusted_past_its_own_end(shelf: Shelf) -> None:
    """Catches a second of trust that outlives a grace or an expiry by the database's time."""
    text, prefix = shelf.add()
    shelf.keys[prefix] = replace(shelf.keys[prefix], left_us=300_000)

    async def story() -> None:
        keys = ring(shelf)
        await keys.principal_of(text)
        del shelf.keys[prefix]  # as the database would find it once its end has come
        shelf.now = 0.29
        await keys.principal_of(text)
        shelf.now = 0.3
        with pytest.raises(KeyInvalid):
            await keys.principal_of(text)

    asyncio.run(story())


def changed(shelf: Shelf, text: str) -> WriteSet:
    """The write set of a commit that changed this key."""
    key = draw_key("agent_0", "", ["read"], now="").key
    row = replace(key, digest=key_digest(text), status="revoked")
    del shelf.keys[text[:20]]
    return WriteSet(api_keys_changed=[KeyChange(key=row, expected_status="active")])


def test_what_this_process_changed_is_forgotten_at_once(shelf: Shelf) -> None:
    """Catches a revoked key that goes on for a second where the revocation was answered."""
    text, _ = shelf.add()

    async def story() -> None:
        keys = ring(shelf)
        await keys.principal_of(text)
        keys.committed(changed(shelf, text))
        with pytest.raises(KeyInvalid):
            await keys.principal_of(text)

    asyncio.run(story())


def test_a_read_that_a_change_overtook_is_not_kept(shelf: Shelf) -> None:
    """Catches a key read before its revocation and remembered after."""
    text, _ = shelf.add()

    async def story() -> None:
        keys = ring(shelf)
        first = asyncio.create_task(keys.principal_of(text))
        while not shelf.asked:
            await asyncio.sleep(0)
        keys.committed(changed(shelf, text))
        await first  # it asked before the change
        with pytest.raises(KeyInvalid):
            await keys.principal_of(text)

    asyncio.run(story())


def test_what_is_left_of_a_key_is_told_by_the_databases_time(either: World) -> None:
    now = either.services.db.transaction(lambda tx: tx.now_us)
    end = time_text(now + 60_000_000)
    known = counted(either, expires_at=end)
    assert known is not None
    assert known.left_us is not None
    assert 0 < known.left_us <= 60_000_000
    sooner = counted(
        either, status="grace", grace_until=end, expires_at="2999-01-01T00:00:00.000000Z"
    )
    assert sooner is not None
    assert sooner.left_us is not None
    assert sooner.left_us <= 60_000_000
    forever = counted(either)
    assert forever is not None
    assert forever.left_us is None
