"""The command line: `settlement COMMAND`, one file per group of commands.

For: operators, and anyone who checks a bundle. `main` is the entry point.
Guarantees: a refusal is one sentence, what to do next, and an exit code by its kind (`output.py`);
nobody who uses the program meets a traceback. `--json` prints one object on standard output.
Does not: decide anything about money; every command calls what the server calls.
Change colour: green.
"""

from __future__ import annotations

import sys

import rich_click as click

from settlement import __version__
from settlement.cli import output
from settlement.cli.agents import agents
from settlement.cli.audit import audit
from settlement.cli.backup import backup
from settlement.cli.deal import deal, replay
from settlement.cli.demo import demo
from settlement.cli.doctor import doctor
from settlement.cli.export import export
from settlement.cli.inbox import inbox
from settlement.cli.keys import keys
from settlement.cli.ledger import ledger
from settlement.cli.listing import effects, jobs, outbox
from settlement.cli.migrate import migrate
from settlement.cli.pause import pause, resume
from settlement.cli.prove import prove_mover
from settlement.cli.reconcile import accept_gap, reconcile
from settlement.cli.recover import recover
from settlement.cli.serve import serve, worker
from settlement.cli.settings import settings
from settlement.cli.statement import statement
from settlement.cli.statement_import import statement_import
from settlement.cli.vectors import vectors
from settlement.cli.verify import verify

_GROUPS = {
    "Run": ["serve", "worker", "demo"],
    "Prove": ["verify", "audit", "replay", "prove-mover", "export", "statement", "vectors"],
    "Operate": [
        "doctor",
        "settings",
        "migrate",
        "deal",
        "effects",
        "jobs",
        "outbox",
        "inbox",
        "pause",
        "resume",
        "ledger",
        "statement-import",
    ],
    "Admit": ["agents", "keys"],
    "Recover": ["backup", "recover", "reconcile", "accept-gap"],
}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="settlement %(version)s")
def app() -> None:
    """A settlement service for the work of AI agents: money moves once, and anyone can check.

    Settings come from SETTLEMENT_* variables; `settlement settings` lists them.
    """


for _command in (
    serve,
    worker,
    demo,
    verify,
    audit,
    replay,
    prove_mover,
    export,
    statement,
    statement_import,
    vectors,
    doctor,
    settings,
    migrate,
    deal,
    effects,
    jobs,
    outbox,
    inbox,
    pause,
    resume,
    agents,
    keys,
    backup,
    recover,
    reconcile,
    accept_gap,
    ledger,
):
    app.add_command(_command)

click.rich_click.COMMAND_GROUPS = {
    "*settlement": [{"name": name, "commands": names} for name, names in _GROUPS.items()]
}


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    sys.exit(output.run(app, given))
