"""Commands that need no server: what they print, and how they end."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from settlement.cli.output import EXIT_BY_KIND, EXIT_NO, EXIT_OK, EXIT_STOPPED, EXIT_USAGE
from settlement.cli.recover import EXIT_IN_USE
from settlement.cli.settings import page
from tests.cli.running import run
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path


# --- speaking ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("settings",), 0),
        (("doctor",), 0),
        (("migrate",), 0),
        (("migrate", "--status"), 1),
        (("audit",), 1),
        (("effects",), 0),
        (("jobs",), 0),
        (("outbox",), 0),
        (("inbox",), 0),
        (("inbox", "dismiss", "evt_none", "--reason", "x"), 5),
        (("jobs", "requeue", "job_none", "--reason", "x"), 5),
        (("pause",), 0),
        (("pause", "go"), 2),
        (("pause", "go", "--reason", "rail is down"), 0),
        (("resume", "go", "--reason", "rail is back"), 0),
        (("vectors", "--check"), 1),
        (("verify", "absent.json"), 2),
        (("serve", "--port", "x"), 2),
        (("worker", "--no-migrate"), 1),
        (("demo", "--url", "ftp://nowhere"), 2),
        (("nonsense",), 2),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_every_command_prints_one_json_object(
    tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    database = f"sqlite:///{tmp_path / 'settlement.db'}"
    if arguments[0] in ("effects", "jobs", "outbox", "inbox", "pause", "resume"):
        assert run(tmp_path, "migrate", SETTLEMENT_DATABASE=database).code == 0
    elif arguments[0] in ("audit", "migrate") and code:
        (tmp_path / "settlement.db").touch()
    ran = run(tmp_path, *arguments, "--json", SETTLEMENT_DATABASE=database)
    document = ran.json()
    assert document["ok"] is (ran.code == 0)
    assert ran.code == code, ran
    assert "Traceback" not in ran.err


def test_a_setting_that_cannot_be_used_is_one_sentence_and_exit_2(tmp_path: Path) -> None:
    ran = run(tmp_path, "doctor", SETTLEMENT_RAIL="stripe")
    assert ran.code == 2
    assert "SETTLEMENT_RAIL" in ran.err
    assert "SETTLEMENT_MODE" in ran.err
    assert "Traceback" not in ran.err


def test_a_misspelt_setting_is_remarked_on_beside_the_answer(tmp_path: Path) -> None:
    ran = run(tmp_path, "settings", "--json", SETTLEMENT_PROT="1")
    assert ran.json()["ok"] is True
    assert "did you mean SETTLEMENT_PORT" in ran.err


def test_a_command_on_a_database_that_is_not_there_makes_none(tmp_path: Path) -> None:
    ran = run(tmp_path, "audit", SETTLEMENT_DATABASE="sqlite:///absent.db")
    assert ran.code == 2
    assert "there is no such file" in ran.err
    assert not (tmp_path / "absent.db").exists()


def test_the_page_of_settings_is_the_table() -> None:
    written = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert written == page(), "run `settlement settings --markdown > docs/settings.md`"


# --- vectors -------------------------------------------------------------------------------------


def test_the_vectors_in_the_tree_are_what_the_code_makes(tmp_path: Path) -> None:
    ran = run(tmp_path, "vectors", "--check", "--dir", str(ROOT), "--json")
    assert ran.json() == {
        "ok": True,
        "files": {"schemas/test_vectors.json": "same", "data/conformance_vectors.json": "same"},
    }


def test_a_changed_vector_file_is_told_and_written_anew(tmp_path: Path) -> None:
    assert run(tmp_path, "vectors").code == 0
    path = tmp_path / "schemas" / "test_vectors.json"
    path.write_bytes(path.read_bytes() + b" ")
    ran = run(tmp_path, "vectors", "--check", "--json")
    assert (ran.code, ran.json()["files"]["schemas/test_vectors.json"]) == (1, "differs")
    assert run(tmp_path, "vectors").code == 0
    assert run(tmp_path, "vectors", "--check").code == 0


# --- migrate -------------------------------------------------------------------------------------


def test_migrations_are_applied_once_and_then_up_to_date(tmp_path: Path, database_url: str) -> None:
    first = run(tmp_path, "migrate", "--json", "--database", database_url)
    assert first.json()["applied"][0] == "0001_initial"
    assert run(tmp_path, "migrate", "--json", "--database", database_url).json()["applied"] == []
    status = run(tmp_path, "migrate", "--status", "--json", "--database", database_url)
    assert (status.code, status.json()["pending"]) == (0, [])


# --- doctor --------------------------------------------------------------------------------------


def test_the_doctor_finds_a_fresh_database_fit(tmp_path: Path, database_url: str) -> None:
    run(tmp_path, "migrate", "--database", database_url)
    ran = run(tmp_path, "doctor", "--json", "--database", database_url)
    found = {check["name"]: check["status"] for check in ran.json()["checks"]}
    assert ran.code == 0
    for name in ("database", "durability", "schema", "commit", "clock", "checkpoint file"):
        assert found[name] == "ok", ran.out
    assert list(tmp_path.glob(".settlement-doctor-*")) == []


def test_the_doctor_says_what_to_do_about_a_key_others_can_read(tmp_path: Path) -> None:
    key = tmp_path / "var" / "keys" / "log_signing.key"
    key.parent.mkdir(parents=True)
    key.write_text("x")
    key.chmod(0o644)
    ran = run(tmp_path, "doctor", "--json")
    problem = next(one for one in ran.json()["checks"] if one["name"] == "signing key")
    assert ran.code == 1
    assert problem["status"] == "problem"
    assert "chmod 600" in problem["advice"]


@pytest.mark.parametrize(
    ("content", "settings", "status"),
    [
        (None, {}, "warning"),
        (None, {"SETTLEMENT_MODE": "live"}, "warning"),
        (None, {"SETTLEMENT_SEAL_KEY": "b" * 43 + "="}, "ok"),
        ("b" * 43 + "=", {}, "ok"),
        ("short", {}, "problem"),
    ],
)
def test_the_doctor_looks_at_the_seal_key(
    tmp_path: Path, content: str | None, settings: dict[str, str], status: str
) -> None:
    """Missing is a warning, for the server serves without; spoilt it would not start."""
    key = tmp_path / "var" / "keys" / "seal.key"
    if content is not None:
        key.parent.mkdir(parents=True)
        key.write_text(content)
        key.chmod(0o600)
    ran = run(tmp_path, "doctor", "--json", **settings)
    found = next(one for one in ran.json()["checks"] if one["name"] == "seal key")
    assert found["status"] == status, found
    assert "bbbb" not in ran.out


def test_the_doctor_tells_a_database_that_does_not_answer(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    ran = run(tmp_path, "doctor", "--json", "--database", url)
    problem = next(one for one in ran.json()["checks"] if one["name"] == "database")
    assert (ran.code, problem["status"]) == (1, "problem")


def test_a_database_that_does_not_answer_is_one_sentence_with_its_cause(tmp_path: Path) -> None:
    ran = run(tmp_path, "audit", "--database", "postgresql://nobody@127.0.0.1:1/nothing")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (9, "", 1)
    assert "Connection refused" in ran.err
    assert "SETTLEMENT_DATABASE" in ran.err


def test_what_is_no_terminal_gets_whole_ids(tmp_path: Path) -> None:
    table = run(tmp_path, "settings", COLUMNS="40").out
    assert "sqlite:///var/settlement.db" in table


@pytest.mark.skipif(os.geteuid() != 0, reason="takes a file system that is full")
def test_the_doctor_tells_a_directory_it_cannot_write_in(tmp_path: Path) -> None:
    ran = run(tmp_path, "doctor", "--json", SETTLEMENT_RAIL_DIR="/proc/settlement")
    problem = next(one for one in ran.json()["checks"] if one["name"] == "rail directory")
    assert (ran.code, problem["status"]) == (1, "problem")


# --- verify --------------------------------------------------------------------------------------


def test_a_file_that_is_no_bundle_is_unreadable_not_unverified(tmp_path: Path) -> None:
    for name, text in (
        ("list.json", "[]"),
        ("text.json", "hello"),
        ("twice.json", '{"a":1,"a":2}'),
    ):
        (tmp_path / name).write_text(text)
        assert run(tmp_path, "verify", name).code == 2


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text(json.dumps({"events": []}))
    ran = run(tmp_path, "verify", "bundle.json", "--public-key", "short")
    assert ran.code == 2
    assert "--public-key" in ran.err


def test_an_empty_bundle_is_not_verified_and_the_steps_say_why(tmp_path: Path) -> None:
    ran = run(tmp_path, "verify", "-", "--json", stdin="{}")
    document = ran.json()
    assert ran.code == 1
    assert document["steps"]["bundle_hash"]["passed"] is False


def test_every_exit_code_is_in_the_one_table_of_the_pages() -> None:
    """Catches a code that a script may meet and nobody can look up."""
    page = (ROOT / "docs" / "exit_codes.md").read_text("utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    ours = {EXIT_OK, EXIT_NO, EXIT_USAGE, EXIT_IN_USE, EXIT_STOPPED, *EXIT_BY_KIND.values()}
    assert listed == ours
    assert "docs/exit_codes.md" in (ROOT / "README.md").read_text("utf-8")
