"""The command line: `settlement COMMAND`, one file per group of commands.

For: operators, and anyone who checks a bundle. `main` is the entry point.
Guarantees: a refusal is one sentence, what to do next, and an exit code by its kind (`output.py`);
nobody who uses the program meets a traceback. `--json` prints one object on standard output.
Does not: decide anything about money; every command calls what the server calls.
Change colour: green.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

import rich_click as click

from settlement import __version__
from settlement.cli import output

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Name -> module and attribute, in groups as the help shows them.
_COMMANDS: Final[Mapping[str, Mapping[str, str]]] = {
    "Run": {"serve": "serve:serve", "worker": "serve:worker", "demo": "demo:demo"},
    "Prove": {
        "verify": "verify:verify",
        "audit": "audit:audit",
        "replay": "deal:replay",
        "prove-mover": "prove:prove_mover",
        "export": "export:export",
        "statement": "statement:statement",
        "vectors": "vectors:vectors",
    },
    "Operate": {
        "doctor": "doctor:doctor",
        "settings": "settings:settings",
        "migrate": "migrate:migrate",
        "deal": "deal:deal",
        "effects": "listing:effects",
        "jobs": "listing:jobs",
        "outbox": "listing:outbox",
        "inbox": "inbox:inbox",
        "pause": "pause:pause",
        "resume": "pause:resume",
        "ledger": "ledger:ledger",
        "statement-import": "statement_import:statement_import",
    },
    "Admit": {"agents": "agents:agents", "keys": "keys:keys"},
    "Recover": {
        "backup": "backup:backup",
        "recover": "recover:recover",
        "reconcile": "reconcile:reconcile",
        "accept-gap": "reconcile:accept_gap",
    },
}
_WHERE: Final = {name: where for group in _COMMANDS.values() for name, where in group.items()}


class _Later(click.RichGroup):
    """Imports a command when it is wanted: all of them are most of a second, for each call."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's own
        """Every name."""
        return list(_WHERE)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's own
        cmd_name: str,
    ) -> click.Command | None:
        """One command, or None for a name that is none."""
        where = _WHERE.get(cmd_name)
        if where is None:
            return None
        module, _, attribute = where.partition(":")
        found = getattr(import_module(f"settlement.cli.{module}"), attribute)
        assert isinstance(found, click.Command), where
        return found


@click.group(cls=_Later, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="settlement %(version)s")
def app() -> None:
    """A settlement service for the work of AI agents: money moves once, and anyone can check.

    Settings come from SETTLEMENT_* variables; `settlement settings` lists them.
    """


click.rich_click.COMMAND_GROUPS = {
    "*settlement": [{"name": name, "commands": [*names]} for name, names in _COMMANDS.items()]
}


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    sys.exit(output.run(app, given))
