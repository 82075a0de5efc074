"""`settlement keys` and `settlement agents`, as an operator runs them: processes on a database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.api_keys import SCOPES
from settlement.core.operation import Rules
from settlement.service.destinations import NewDestination, create
from settlement.store.database import open_database
from tests.cli.running import Ran, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> tuple[Path, str]:
    assert run(tmp_path, "migrate", "--database", database_url).code == 0
    return tmp_path, database_url


def told(place: tuple[Path, str], *arguments: str) -> dict[str, Any]:
    """What a command prints as JSON."""
    done = command(place, *arguments)
    assert done.code == 0, done.out + done.err
    found = done.json()
    assert found["ok"] is True
    return found


def command(place: tuple[Path, str], *arguments: str, key: str | None = None) -> Ran:
    directory, url = place
    return run(directory, *arguments, "--json", SETTLEMENT_DATABASE=url, stdin=key)


def test_an_operator_makes_ends_and_checks_keys_by_hand(place: tuple[Path, str]) -> None:
    """Catches a service whose first operator cannot be made, and keys on a command line."""
    ops = told(place, "agents", "create", "ops", "--scope", "admin")
    one = told(place, "agents", "create", "worker")
    agent = one["agent_id"]
    made = told(place, "keys", "create", "--agent", agent, "--scope", "read", "--name", "r")
    assert made["scopes"] == ["read"]
    successor = told(place, "keys", "rotate", made["key_id"], "--grace-seconds", "60")
    assert successor["rotated_from"] == made["key_id"]
    listed = told(place, "keys", "list", "--agent", agent)["keys"]
    assert [row["status"] for row in listed] == ["active", "grace", "active"]
    assert "api_key" not in json.dumps(listed)
    again = command(place, "keys", "rotate", made["key_id"])
    assert (again.code, again.json()["error"]) == (7, "already_rotated")

    valid = command(place, "keys", "validate", "--scope", "read", key=successor["api_key"])
    assert (valid.code, valid.json()["valid"]) == (0, True)
    told(place, "keys", "revoke", successor["key_id"], "--reason", "test over")
    gone = command(place, "keys", "validate", key=successor["api_key"])
    assert (gone.code, gone.json()) == (1, {"ok": True, "valid": False})
    operator = command(place, "keys", "validate", "--scope", "payout", key=ops["api_key"]).json()
    assert (operator["valid"], operator["scopes"]) == (True, ["admin"])

    told(place, "agents", "suspend", agent, "--reason", "silent")
    assert command(place, "keys", "validate", key=one["api_key"]).code == 1
    told(place, "agents", "approve-verifier", agent, "--reason", "known to us")
    (shown,) = told(place, "agents", "list", "--only", "verifier")["agents"]
    assert (shown["agent_id"], shown["status"]) == (agent, "suspended")


def test_what_is_not_there_is_refused_in_one_sentence(place: tuple[Path, str]) -> None:
    """Broken build: one command says "done" of an id that nobody knows, another fails otherwise."""
    ghost = "agent_" + "0" * 32
    for arguments, code, error in (
        (("keys", "revoke", "key_" + "0" * 32, "--reason", "x"), 5, "key_not_found"),
        (("keys", "create", "--agent", ghost, "--scope", "read"), 5, "agent_not_found"),
        (("agents", "suspend", ghost, "--reason", "x"), 5, "agent_not_found"),
        (("keys", "create", "--agent", ghost, "--scope", "everything"), 2, "usage"),
        (("keys", "list", "--agent", ghost), 5, "agent_not_found"),
        (("keys", "revoke", "--all", "--agent", ghost, "--reason", "x"), 5, "agent_not_found"),
        (("agents", "destinations", ghost), 5, "agent_not_found"),
        (("effects", "--agent", ghost), 5, "agent_not_found"),
        (("effects", "--deal", "deal_x"), 5, "deal_not_found"),
        (("deal", "deal_x"), 5, "deal_not_found"),
        (("deal", "sys_" + ghost), 5, "deal_not_found"),
        (("replay", "deal_x"), 5, "deal_not_found"),
        (("jobs", "requeue", "job_x", "--reason", "x"), 5, "job_not_found"),
        (("inbox", "dismiss", "in_x", "--reason", "x"), 5, "message_not_found"),
        (("outbox", "release", "7", "--reason", "x"), 5, "message_not_found"),
    ):
        done = command(place, *arguments)
        assert (done.code, done.json()["error"]) == (code, error), done.out
        for words in ("/protocol/", "you may", "of yours"):
            assert words not in done.json()["detail"], "an operator may see everything"


def test_people_read_keys_in_tables(tmp_path: Path, sqlite_url: str) -> None:
    run(tmp_path, "migrate", "--database", sqlite_url)
    made = run(tmp_path, "agents", "create", "ops [1]", SETTLEMENT_DATABASE=sqlite_url)
    agent = made.out.split()[0]
    assert "API key: a2a_" in made.out
    assert "a2a_" not in made.err
    table = run(tmp_path, "keys", "list", "--agent", agent, SETTLEMENT_DATABASE=sqlite_url).out
    assert "active" in table
    scopes = run(tmp_path, "keys", "scopes").out
    assert all(name in scopes for name in SCOPES)
    listed = run(tmp_path, "agents", "list", SETTLEMENT_DATABASE=sqlite_url).out
    assert "ops [1]" in listed


def test_all_keys_of_an_agent_end_also_those_made_with_a_stolen_one(
    place: tuple[Path, str],
) -> None:
    """Broken build: one key is revoked, and the key that it had made counts again at `resume`."""
    one = told(place, "agents", "create", "worker")
    agent = one["agent_id"]
    theirs = told(place, "keys", "create", "--agent", agent, "--scope", "keys")
    told(place, "keys", "rotate", theirs["key_id"], "--grace-seconds", "600")
    told(place, "agents", "suspend", agent, "--reason", "stolen")
    ended = told(place, "keys", "revoke", "--all", "--agent", agent, "--reason", "stolen")
    assert len(ended["keys"]) == 3, "the first, the one in its grace, its successor"
    told(place, "agents", "resume", agent, "--reason", "over")
    listed = told(place, "keys", "list", "--agent", agent)["keys"]
    assert {row["status"] for row in listed} == {"revoked"}
    for text in (one["api_key"], theirs["api_key"]):
        assert command(place, "keys", "validate", key=text).code == 1
    again = told(place, "keys", "revoke", "--all", "--agent", agent, "--reason", "stolen")
    assert again["keys"] == []
    for wrong in (("--all",), ("--agent", agent), ("key_x", "--all", "--agent", agent)):
        assert command(place, "keys", "revoke", *wrong, "--reason", "x").code == 2, wrong


def test_the_chain_of_an_agent_is_shown(place: tuple[Path, str]) -> None:
    """Broken build: the pages send a reader to `sys_<agent id>`, and the command knows no such."""
    agent = told(place, "agents", "create", "worker")["agent_id"]
    made = told(place, "keys", "create", "--agent", agent, "--scope", "keys")
    events = told(place, "deal", f"sys_{agent}")["events"]
    assert [one["event_type"] for one in events][-1] == "KEY_CREATED"
    assert events[-1]["payload"]["key_id"] == made["key_id"]
    assert [one["version"] for one in events] == sorted(one["version"] for one in events)
    directory, url = place
    assert made["key_id"] in run(directory, "deal", f"sys_{agent}", "--database", url).out


def test_destinations_of_an_agent_are_listed_masked(place: tuple[Path, str]) -> None:
    """Broken build: whoever has a stolen key adds a destination, and no command shows it."""
    agent = told(place, "agents", "create", "worker")["agent_id"]
    assert told(place, "agents", "destinations", agent)["destinations"] == []
    db = open_database(place[1])
    wanted = NewDestination(owner_id=agent, rail="simulated", address="of-the-thief", auto=True)
    made = create(db, wanted, "{}", Rules())
    db.close()
    (shown,) = told(place, "agents", "destinations", agent)["destinations"]
    assert (shown["destination_id"], shown["address"]) == (made.destination_id, "****hief")
