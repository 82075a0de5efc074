"""The systemd units: systemd itself reads them, and what they run exists."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rich_click as click

from settlement.cli import app
from settlement.config import ConfigError, Mode, load, unknown_settings
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from settlement.config import Settings

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
    with pytest.raises(ConfigError, match="STRIPE"):
        load(env)  # it is for real money, and nobody has filled it in
    begins = {
        "SECRET_KEY": "sk_" + "x" * 9,
        "PUBLISHABLE_KEY": "pk_" + "x" * 9,
        "WEBHOOK_SECRET": "whsec_" + "x" * 32,
    }
    secrets = {f"SETTLEMENT_STRIPE_{name}": text for name, text in begins.items()}
    assert [name for name, text in env.items() if not text] == list(secrets)
    settings = load({**env, **secrets})
    assert (settings.mode, settings.rail) == (Mode.LIVE, "stripe")
    # Nothing lies in the directory that a command happens to be run in.
    assert [name for name, text in vars_of(settings) if not Path(text).is_absolute()] == []


def vars_of(settings: Settings) -> list[tuple[str, str]]:
    """Every path of the settings."""
    found = {one.name: getattr(settings, one.name) for one in fields(settings)}
    return [(name, str(path)) for name, path in found.items() if isinstance(path, Path)]


def seconds(text: str) -> int:
    """A calendar expression of the timers as a period."""
    return {"hourly": 3600, "0/6:00": 6 * 3600}[text]


def test_a_backup_from_before_a_break_is_still_there_when_an_audit_finds_it() -> None:
    """Catches archives that are all younger than the newest audit: then a break that it finds is
    in each of them. And an alert that comes later than a few missed runs."""
    text = {path.name: path.read_text("utf-8") for path in UNITS}
    every = {
        what: seconds(re.findall(r"OnCalendar=(.+)", text[f"settlement-{what}.timer"])[0])
        for what in ("backup", "audit")
    }
    (keep,) = re.findall(r"backup --keep (\d+)", text["settlement-backup.service"])
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8")
    after = {
        what: int(re.findall(rf"settlement_{what}_age_seconds\) > (\d+)", alerts)[0])
        for what in every
    }
    assert after == {what: 2 * period for what, period in every.items()}
    # Somebody has to notice that audits stopped, and to act on it over a long weekend.
    assert int(keep) * every["backup"] > after["audit"] + 7 * 86_400


def test_the_page_makes_every_directory_that_a_unit_writes_to() -> None:
    """Catches a unit that does not start because systemd has nothing to mount there."""
    (made,) = re.findall(
        r"^install -d .*", (ROOT / "docs" / "deployment.md").read_text("utf-8"), re.MULTILINE
    )
    wanted = re.findall(
        r"^ReadWritePaths=(.+)$", "\n".join(map(Path.read_text, UNITS)), re.MULTILINE
    )
    assert {path for line in wanted for path in line.split()} <= set(made.split())


def test_the_service_starts_under_a_role_that_may_not_change_the_schema() -> None:
    for name in ("settlement.service", "settlement-worker@.service"):
        (line,) = re.findall(
            r"^ExecStart=(.+)$", (DIRECTORY / name).read_text("utf-8"), re.MULTILINE
        )
        assert "--no-migrate" in line


def test_the_image_starts_a_command_that_exists() -> None:
    text = (ROOT / "deploy" / "container" / "Containerfile").read_text("utf-8")
    found = re.search(r'^CMD \["(\w+)"\]$', text, re.MULTILINE)
    assert found is not None
    assert found[1] in app.list_commands(click.Context(app))
    for path in re.findall(r"^COPY (?!--from)(.+) \./?\S*$", text, re.MULTILINE):
        assert all((ROOT / part).exists() for part in path.split()), path
