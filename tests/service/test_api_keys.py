"""The life of a key on both databases: who may make which, rotation, grace, revocation, expiry."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.api_keys import FIRST_SCOPES, SCOPES
from settlement.core.clock import time_text
from settlement.core.errors import (
    AdminNotGrantable,
    AgentNotFound,
    AlreadyRotated,
    InvalidField,
    KeyInvalid,
    KeyNotActive,
    KeyNotFound,
    ScopeMissing,
    SettlementError,
)
from settlement.core.event_types import EVENT_TYPES
from settlement.core.principal import PrincipalKind
from settlement.core.writeset import KeyChange, WriteSet
from settlement.service import api_keys
from settlement.service.audit import run_audit
from settlement.store.api_keys import find_key
from settlement.store.database import ConstraintViolated, LostRow, open_database
from settlement.store.events import load_chain
from tests.support.keys import BY_HAND, Holder, Shelf, shelf_on
from tests.support.logs import raw_sql
from tests.support.notes import new_engine
from tests.support.raw import open_raw, sql

if TYPE_CHECKING:
    from collections.abc import Iterator

THREADS = 16
#: Exact on SQLite, whose clock the tests move. PostgreSQL's own goes on while a test runs.
EDGE = {"sqlite": 1, "postgres": 20}


@pytest.fixture
def shelf(database_url: str) -> Iterator[Shelf]:
    with shelf_on(database_url) as made:
        yield made
        failed = run_audit(made.db).failed()
        assert failed == [], failed


def events(shelf: Shelf, holder: Holder) -> list[tuple[str, dict[str, Any]]]:
    chain = shelf.db.read(lambda tx: load_chain(tx, f"sys_{holder.agent_id}"))
    found = [(event.event_type, json.loads(event.payload)) for event in chain]
    for name, payload in found:
        assert EVENT_TYPES[name].problem(payload) is None
    return found


# --- making --------------------------------------------------------------------------------------


def test_a_further_key_opens_what_was_asked_for_and_is_on_record(shelf: Shelf) -> None:
    """Catches scopes of the maker instead of those asked for, and a step without its event."""
    first = shelf.register()
    made = shelf.make(first, name="reader", scopes=["read", "audit"])
    found = shelf.find(made.text)
    assert found is not None
    assert found.agent_id == first.agent_id
    assert found.scopes == {"read", "audit"}
    record = shelf.record(made)
    assert (record["name"], record["status"], record["scopes"]) == (
        "reader",
        "active",
        ["audit", "read"],
    )
    assert "digest" not in record
    name, payload = events(shelf, first)[-1]
    assert (name, payload["key_id"], payload["scopes"]) == (
        "KEY_CREATED",
        made.key_id,
        ["audit", "read"],
    )


def test_nobody_makes_a_key_that_opens_more_than_its_own(shelf: Shelf) -> None:
    """Catches a build that checks the scope `keys` alone, so that it amounts to all others."""
    first = shelf.register()
    narrow = shelf.make(first, scopes=["keys", "read"])
    with pytest.raises(ScopeMissing) as refusal:
        shelf.make(narrow, scopes=["read", "settle"])
    assert refusal.value.scope == "settle"
    assert shelf.find(shelf.make(narrow).text).scopes == {"keys", "read"}  # type: ignore[union-attr]  # it counts


def test_nobody_rotates_a_key_that_opens_more_than_its_own(shelf: Shelf) -> None:
    """Catches rotation as the way around: the successor's text would be handed to a lesser key."""
    first = shelf.register()
    narrow = shelf.make(first, scopes=["keys"])
    with pytest.raises(ScopeMissing):
        shelf.rotate(first, by=shelf.caller(narrow))
    assert shelf.record(first)["status"] == "active"


def test_no_call_grants_admin_and_by_hand_it_makes_an_operator(shelf: Shelf) -> None:
    """Catches `admin` by a call, also for a caller who has it."""
    first = shelf.register()
    assert "admin" not in FIRST_SCOPES
    with pytest.raises(AdminNotGrantable):
        shelf.make(first, scopes=["admin"])
    operator = shelf.make(first, by=BY_HAND, scopes=["admin", "keys"])
    holder = shelf.caller(operator)
    assert holder.kind is PrincipalKind.OPERATOR
    with pytest.raises(AdminNotGrantable):
        shelf.make(operator, scopes=["admin"])
    # Its own rotation gives nothing that was not there, and without scopes named admin stays out.
    assert "admin" in shelf.caller(shelf.rotate(operator)).scopes
    assert "admin" not in shelf.caller(shelf.make(first, by=shelf.caller(first))).scopes


@pytest.mark.parametrize("scopes", [[], ["everything"], ["read", "READ"], ["verifier"]])
def test_scopes_are_of_the_list(shelf: Shelf, scopes: list[str]) -> None:
    first = shelf.register()
    with pytest.raises(InvalidField) as refusal:
        shelf.make(first, scopes=scopes)
    assert refusal.value.field == "scopes"


@pytest.mark.parametrize("end", ["soon", "2026-01-01", "2020-01-01T00:00:00.000000Z"])
def test_an_end_is_a_time_to_come(shelf: Shelf, end: str) -> None:
    first = shelf.register()
    with pytest.raises(InvalidField) as refusal:
        shelf.make(first, expires_at=end)
    assert refusal.value.field == "expires_at"


def test_a_key_of_an_agent_that_is_not_there(shelf: Shelf) -> None:
    ghost = Holder("agent_" + "0" * 32, "", "")
    with pytest.raises(AgentNotFound):
        shelf.make(ghost, by=BY_HAND, scopes=["read"])


# --- rotation and grace --------------------------------------------------------------------------


def test_the_old_key_counts_until_its_grace_ends_by_the_databases_time(shelf: Shelf) -> None:
    """Catches a grace by the server's clock, off by one either way, or without an end."""
    old = shelf.register()
    new = shelf.rotate(old)
    edge = EDGE[shelf.db.kind]
    shelf.pass_time(86_400 - edge)
    assert shelf.find(old.text) is not None
    assert shelf.record(old)["status"] == "grace"
    shelf.pass_time(edge)
    assert shelf.find(old.text) is None
    shelf.pass_time(1)
    assert shelf.find(old.text) is None
    assert shelf.record(old)["status"] == "expired"
    assert shelf.find(new.text) is not None
    assert shelf.record(new)["rotated_from"] == old.key_id


def test_a_grace_of_zero_ends_at_once_and_longer_than_a_week_is_refused(shelf: Shelf) -> None:
    old = shelf.register()
    for wrong in (-1, 604_801):
        with pytest.raises(InvalidField):
            shelf.rotate(old, grace=wrong)
    new = shelf.rotate(old, grace=0)
    assert shelf.find(old.text) is None
    shelf.rotate(new, grace=604_800)
    assert shelf.find(new.text) is not None


def test_the_successor_is_the_old_key_but_for_its_text(shelf: Shelf) -> None:
    """Catches a rotation that widens scopes or drops the end of what was granted for a time."""
    end = "2999-01-01T00:00:00.000000Z"
    first = shelf.register()
    guest = shelf.make(first, name="guest", scopes=["read"], expires_at=end)
    record = shelf.record(shelf.rotate(guest, by=shelf.caller(first)))
    assert (record["name"], record["scopes"], record["expires_at"]) == ("guest", ["read"], end)


def test_in_its_grace_a_key_does_all_but_keys(shelf: Shelf) -> None:
    """Catches an old key, perhaps stolen, that makes itself further ones."""
    old = shelf.register()
    before = shelf.caller(old)
    other = shelf.make(old)
    shelf.rotate(old)
    assert shelf.caller(old).scopes == before.scopes - {"keys"}
    # Also for a caller who was let in before the rotation: the key is read once more.
    for act in (
        lambda: shelf.make(old, by=before),
        lambda: shelf.rotate(other, by=before),
        lambda: shelf.revoke(other, by=before),
    ):
        with pytest.raises(ScopeMissing):
            act()


def test_a_second_rotation_ends_an_earlier_grace(shelf: Shelf) -> None:
    """Catches old keys that pile up, each good for its whole grace."""
    first = shelf.register()
    second = shelf.rotate(first)
    third = shelf.rotate(second)
    assert shelf.find(first.text) is None
    assert shelf.find(second.text) is not None
    assert shelf.find(third.text) is not None
    rotations = [payload for name, payload in events(shelf, first) if name == "KEY_ROTATED"]
    assert [one["grace_ended_id"] for one in rotations] == [None, first.key_id]


def test_a_key_has_one_successor(shelf: Shelf) -> None:
    old = shelf.register()
    shelf.rotate(old)
    with pytest.raises(AlreadyRotated):
        shelf.rotate(old)
    shelf.pass_time(86_401)
    with pytest.raises(AlreadyRotated):
        shelf.rotate(old, by=BY_HAND)


def test_many_at_once_make_one_successor(shelf: Shelf) -> None:
    """Catches a check before the write in place of a write that checks: two engines on databases of
    their own, as two servers are."""
    old = shelf.register()
    caller = shelf.caller(old)
    dbs = [open_database(shelf.url, shelf.clock) for _ in range(2)]
    engines = [new_engine(db) for db in dbs]
    for engine in engines:
        engine.start()
    start, told = threading.Barrier(THREADS), list[SettlementError | None]()

    def rotate(number: int) -> None:
        made = api_keys.new_rotation(caller, old.agent_id, old.key_id)
        start.wait()
        told.append(engines[number % 2].execute(made.operation).error)

    threads = [threading.Thread(target=rotate, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for engine, db in zip(engines, dbs, strict=True):
        engine.close()
        db.close()
    assert sorted(type(one).__name__ for one in told) == (
        ["AlreadyRotated"] * (THREADS - 1) + ["NoneType"]
    )
    page = api_keys.keys_page(shelf.db, old.agent_id)["keys"]
    assert [one["rotated_from"] for one in page] == [old.key_id, None]


# --- revocation, expiry, suspension --------------------------------------------------------------


def test_revoking_beats_grace_and_again_is_the_same(shelf: Shelf) -> None:
    """Catches a revoked key that lives on in its grace, or a second event for a second call."""
    old = shelf.register()
    new = shelf.rotate(old)
    done = shelf.revoke(old, by=shelf.caller(new), reason="leaked")
    assert (done["status"], done["revoke_reason"]) == ("revoked", "leaked")
    assert shelf.find(old.text) is None
    assert shelf.revoke(old, by=shelf.caller(new), reason="again") == done
    names = [name for name, _ in events(shelf, old)]
    assert names == ["AGENT_REGISTERED", "KEY_ROTATED", "KEY_CREATED", "KEY_REVOKED"]
    assert "leaked" not in json.dumps(events(shelf, old))


def test_a_revoked_key_makes_no_other_however_short_ago(shelf: Shelf) -> None:
    """Catches a build that trusts the edge's second of trust where it would outlive the key."""
    old = shelf.register()
    caller = shelf.caller(old)
    other = shelf.make(old)
    shelf.revoke(old)
    with pytest.raises(KeyInvalid):
        shelf.make(old, by=caller)
    with pytest.raises(KeyInvalid):
        shelf.rotate(other, by=caller)
    with pytest.raises(KeyNotActive):
        shelf.rotate(old, by=shelf.caller(other))


def test_a_key_ends_when_it_was_to_end(shelf: Shelf) -> None:
    first = shelf.register()
    now = shelf.db.transaction(lambda tx: tx.now_us)
    guest = shelf.make(first, expires_at=time_text(now + 3_600_000_000))
    edge = EDGE[shelf.db.kind]
    shelf.pass_time(3_600 - edge)
    assert shelf.find(guest.text) is not None
    shelf.pass_time(edge)
    assert shelf.find(guest.text) is None
    assert shelf.record(guest)["status"] == "expired"
    with pytest.raises(KeyNotActive) as refusal:
        shelf.rotate(guest, by=shelf.caller(first))
    assert refusal.value.status == "expired"


def test_another_agents_key_is_not_there_but_an_operator_revokes_it(shelf: Shelf) -> None:
    """Catches keys found by id alone."""
    mine, theirs = shelf.register("mine"), shelf.register("theirs")
    with pytest.raises(KeyNotFound):
        shelf.revoke(theirs, by=shelf.caller(mine))
    made = api_keys.new_rotation(shelf.caller(mine), mine.agent_id, theirs.key_id)
    with pytest.raises(KeyNotFound):
        shelf.engine.execute(made.operation).unwrap()
    assert shelf.find(theirs.text) is not None
    operator = shelf.make(mine, by=BY_HAND, scopes=["admin"])
    assert shelf.revoke(theirs, by=shelf.caller(operator))["status"] == "revoked"
    assert events(shelf, theirs)[-1][1]["authority"] == "operator"


# --- the database's own word ---------------------------------------------------------------------

REFUSED = {
    "UPDATE api_key SET status = 'active' WHERE key_id = :key_id": "api_key_forward",
    "UPDATE api_key SET grace_until = '2999-01-01T00:00:00.000000Z' WHERE key_id = :key_id": (
        "api_key_forward"
    ),
    "UPDATE api_key SET digest = upper(digest) WHERE key_id = :key_id": "api_key_fixed",
    "UPDATE api_key SET scopes = '[\"admin\"]' WHERE key_id = :key_id": "api_key_fixed",
    "UPDATE api_key SET expires_at = '2999-01-01T00:00:00.000000Z' WHERE key_id = :key_id": (
        "api_key_fixed"
    ),
}


@pytest.mark.parametrize("statement", REFUSED)
def test_the_database_lets_a_key_only_go_towards_its_end(shelf: Shelf, statement: str) -> None:
    """Catches triggers that are not there: a shell brings a key back or makes it wider."""
    old = shelf.register()
    shelf.rotate(old)
    with open_raw(shelf.url) as raw, pytest.raises(ConstraintViolated) as refusal:
        raw.run([sql(statement, key_id=old.key_id)])
    assert refusal.value.name == REFUSED[statement]


def test_a_change_from_a_status_that_is_gone_changes_nothing(shelf: Shelf) -> None:
    """Catches an update without the status that was read: whoever writes last would win."""
    old = shelf.register()
    shelf.rotate(old)
    row = shelf.db.read(lambda tx: find_key(tx, old.key_id))
    assert row is not None
    late = KeyChange(key=replace(row, grace_until=row.created_at), expected_status="active")
    with pytest.raises(LostRow):
        shelf.db.transaction(lambda tx: tx.write(WriteSet(api_keys_changed=[late])))
    assert shelf.find(old.text) is not None


def test_the_database_refuses_a_second_successor(shelf: Shelf) -> None:
    first = shelf.register()
    shelf.rotate(first)
    other = shelf.make(first, by=BY_HAND, scopes=["read"])
    with open_raw(shelf.url) as raw, pytest.raises(ConstraintViolated) as refusal:
        raw.run(
            [
                sql(
                    "INSERT INTO api_key SELECT 'a2a_x', 'key_x', agent_id, name, digest, scopes, "
                    "status, created_at, expires_at, grace_until, :first, revoked_at, "
                    "revoke_reason FROM api_key WHERE key_id = :other",
                    first=first.key_id,
                    other=other.key_id,
                )
            ]
        )
    assert refusal.value.name == "unique: api_key(rotated_from)"


# --- lists and validation ------------------------------------------------------------------------


def test_a_list_is_paged_newest_first(shelf: Shelf) -> None:
    first = shelf.register()
    made = [first, *(shelf.make(first, scopes=["read"]) for _ in range(4))]
    shown, cursor = list[str](), None
    while True:
        page = api_keys.keys_page(shelf.db, first.agent_id, limit=2, cursor=cursor)
        shown += [one["key_id"] for one in page["keys"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert shown == [one.key_id for one in reversed(made)]


def test_validate_says_of_a_bad_key_that_it_is_bad_and_nothing_else(shelf: Shelf) -> None:
    """Catches an answer that tells a revoked key from an unknown one."""
    good = shelf.register()
    told = api_keys.validate(shelf.db, good.text)
    assert told.pop("scopes") == sorted(SCOPES.keys() - {"admin"})
    assert told == {
        "valid": True,
        "key_id": good.key_id,
        "agent_id": good.agent_id,
        "status": "active",
        "reason": None,
    }
    lacking = api_keys.validate(shelf.db, good.text, "admin")
    assert (lacking["valid"], lacking["reason"]) == (False, "scope_missing")
    gone = shelf.make(good)
    shelf.revoke(gone)
    raw_sql(shelf.url, "UPDATE api_key SET name = 'n'")  # any other column may change
    swapped = good.text[:25] + ("a" if good.text[25] != "a" else "b") + good.text[26:]
    for bad in (gone.text, swapped, "", "a2a_", good.text[:-1]):
        assert api_keys.validate(shelf.db, bad) == {"valid": False}
    shelf.rotate(good)
    assert api_keys.validate(shelf.db, good.text)["status"] == "grace"
