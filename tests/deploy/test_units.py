"""The systemd units: systemd itself reads them, and what they run exists."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import rich_click as click

from settlement.cli import app
from settlement.config import load, unknown_settings
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY = ROOT / "deploy" / "systemd"
UNITS = sorted(path for path in DIRECTORY.iterdir() if path.suffix in (".service", ".timer"))
COMMAND = "/opt/settlement/.venv/bin/settlement"


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_finds_nothing_wrong_but_the_place_of_the_command(
    unit: Path, tmp_path: Path
) -> None:
    """Catches a directive that systemd ignores, which a unit with a typing error runs without."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("this machine has no systemd-analyze")
    for path in UNITS:
        text = path.read_text("utf-8").replace(COMMAND, "/bin/true")
        (tmp_path / path.name).write_text(text, "utf-8")
    ran = subprocess.run(
        [analyze, "verify", "--man=no", tmp_path / unit.name],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_every_command_of_a_unit_is_one_of_ours_with_options_it_has() -> None:
    seen = []
    for unit in UNITS:
        for line in re.findall(rf"^Exec\w+={COMMAND} (.+)$", unit.read_text("utf-8"), re.MULTILINE):
            name, *options = line.split()
            command = app.get_command(click.Context(app), name)
            assert command is not None, name
            known = {
                text for param in command.params for text in (*param.opts, *param.secondary_opts)
            }
            assert {option for option in options if option.startswith("--")} <= known, line
            seen.append(name)
    assert {"serve", "worker", "doctor", "backup", "audit"} <= set(seen)


def test_the_sample_environment_has_settings_that_exist() -> None:
    text = (DIRECTORY / "settlement.env").read_text("utf-8")
    env = dict(re.findall(r"^(SETTLEMENT_\w+)=(.*)$", text, re.MULTILINE))
    assert env
    assert unknown_settings(env) == []
    load(env)


def test_the_image_starts_a_command_that_exists() -> None:
    text = (ROOT / "deploy" / "container" / "Containerfile").read_text("utf-8")
    found = re.search(r'^CMD \["(\w+)"\]$', text, re.MULTILINE)
    assert found is not None
    assert found[1] in app.list_commands(click.Context(app))
    for path in re.findall(r"^COPY (?!--from)(.+) \./?\S*$", text, re.MULTILINE):
        assert all((ROOT / part).exists() for part in path.split()), path
