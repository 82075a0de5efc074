"""docs/incident_runbook.md: every command, in its order, against its fault (spec §17.4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.runbook import staging
from tests.runbook.staging import Command, Scene, commands
from tests.support.server import deployed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.chaos
PARTS = ("Signal", "Severity", "Contain", "Diagnose", "Mend", "Prove", "Tell")


@pytest.fixture
def scene(tmp_path: Path, database_url: str) -> Iterator[Scene]:
    """A server with one settled deal, before anything went wrong."""
    with deployed(tmp_path, database_url) as deployment:
        yield Scene.begin(deployment)


def follow(scene: Scene, number: int, **after: object) -> dict[str, str]:
    """Run an incident's commands; what each said. `after`: what the world does after a line."""
    said = {}
    for command in commands(number):
        said[command.line] = scene.run(command)
        for word, happens in after.items():
            if re.search(word.replace("_", " "), command.line) and callable(happens):
                happens(scene)
    assert len(said) >= 5
    return said


def last(said: dict[str, str], word: str) -> str:
    """What the last command with that word said."""
    return [text for line, text in said.items() if word in line][-1]


def assert_proven(scene: Scene) -> None:
    """What the page calls proof, asked once more in JSON."""
    scene.run(Command('settlement replay "$DEAL" --json'))
    scene.deployment.assert_audit_is_clean()


def test_every_incident_has_its_seven_parts() -> None:
    """Catches an incident without a way to prove that it is over, or without a word for people."""
    page = staging.PAGE.read_text("utf-8")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert [one[:2] for one in sections] == [f"{n}." for n in range(1, 8)]
    for section in sections:
        found = re.findall(r"^\*\*(\w+)\.\*\*", section, re.MULTILINE)
        assert found == list(PARTS), section.splitlines()[0]
        assert "settlement replay" in section.partition("**Prove.**")[2]


def test_alerts_and_incidents_lead_to_each_other() -> None:
    """Catches a page that waits for an alert nobody raises, and an alert that leads nowhere."""
    page, alerts = staging.PAGE.read_text("utf-8"), staging.ALERTS.read_text("utf-8")
    raised = set(re.findall(r"- alert: (\w+)", alerts))
    assert set(re.findall(r"`(Settlement\w+)`", page)) <= raised
    led = re.findall(r"runbook: docs/incident_runbook\.md#(\S+)", alerts)
    anchors = set(re.findall(r"\]\(#(.+?)\)", page))
    assert set(led) <= anchors
    assert {one[0] for one in led} == set("1234567")


def test_1_a_charge_made_past_us_is_told_apart_from_our_one(scene: Scene) -> None:
    """Catches a page that lets an operator take the rail's second entry for ours."""
    staging.charged_past_us(scene)
    said = follow(scene, 1)
    assert "known to the rail, not to us" in last(said, "reconcile")
    assert scene.site.rail_kinds(scene.names["DEAL"]) == ["charge", "charge"]
    assert said['settlement deal "$DEAL"'].count("confirmed") == 1
    assert_proven(scene)


def test_2_an_outage_ends_with_one_payout(scene: Scene) -> None:
    """Catches a payout sent a second time when the rail is back, and one that never ends."""
    staging.rail_away(scene)

    def back(_: Scene) -> None:
        scene.rail()

    def ended(_: Scene) -> None:
        scene.until(lambda: scene.payout()["payout"]["state"] == "confirmed", "a payout")

    said = follow(scene, 2, **{"jobs_--status": back, "settlement_reconcile": ended})
    assert "never pay again by hand" in said['settlement deal "$DEAL"']
    assert scene.site.rail_kinds(scene.names["DEAL"]) == ["charge", "payout"]
    assert_proven(scene)


def test_3_rewritten_history_is_found_and_replaced_by_what_was(scene: Scene) -> None:
    """Catches a restore that leaves the break, or a page whose audit would not see it."""
    staging.tampered_event(scene)
    said = follow(scene, 3)
    assert "verdict    broken" not in said['settlement replay "$DEAL"'], "the last of two"
    assert_proven(scene)


def test_4_books_that_do_not_balance_are_found_and_replaced(scene: Scene) -> None:
    """Catches guards that stay off after the restore."""
    staging.tampered_books(scene)
    follow(scene, 4)
    assert_proven(scene)


def test_5_what_was_dead_or_parked_goes_on(scene: Scene) -> None:
    """Catches a list that stays, and a message that is told twice."""
    staging.backlog(scene)
    said = follow(scene, 5, resume_webhooks=told)
    assert said["settlement jobs --status dead"].strip() == "Nothing."
    assert said["settlement outbox --state parked"].strip() == "Nothing."
    assert_proven(scene)


def told(scene: Scene) -> None:
    waiting = "SELECT count(*) FROM outbox WHERE status <> 'emitted'"
    scene.until(lambda: scene.one(waiting) == "0", "all messages told")


def test_6_a_stolen_key_opens_nothing_more(scene: Scene) -> None:
    """Catches a page after which the old key still works, or another that was made with it, or
    whose owner has none."""
    staging.key_in_public(scene)
    said = follow(scene, 6)
    made = [text for line, text in said.items() if "keys create" in line]
    assert "a2a_" in made[0]
    assert scene.names["THIEFS_ID"] in said['settlement deal "sys_$AGENT"']
    scene.run(Command('printf %s "$THIEFS_KEY" | settlement keys validate', codes=(1,)))
    assert_proven(scene)


def test_7_a_lost_database_comes_back_from_its_backup(scene: Scene) -> None:
    """Catches a server that goes on as if nothing had been signed since, and a second charge."""
    staging.database_lost(scene)
    said = follow(scene, 7, systemctl_stop=staging.lose)
    assert scene.names["LOST"] in said["settlement reconcile"]
    assert scene.site.rail_kinds(scene.names["DEAL"]) == ["charge"]
    assert_proven(scene)
