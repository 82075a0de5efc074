"""`settlement keys` and `settlement agents`, as an operator runs them: processes on a database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.api_keys import SCOPES
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
    ghost = "agent_" + "0" * 32
    for arguments, code, error in (
        (("keys", "revoke", "key_" + "0" * 32, "--reason", "x"), 5, "key_not_found"),
        (("keys", "create", "--agent", ghost, "--scope", "read"), 5, "agent_not_found"),
        (("agents", "suspend", ghost, "--reason", "x"), 5, "agent_not_found"),
        (("keys", "create", "--agent", ghost, "--scope", "everything"), 2, "usage"),
    ):
        done = command(place, *arguments)
        assert (done.code, done.json()["error"]) == (code, error), done.out


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
