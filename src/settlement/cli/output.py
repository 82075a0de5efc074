"""How commands speak: JSON or text, one sentence per refusal, and the one table kind -> exit code.

For: every command.
Guarantees: with `--json`, standard output holds one JSON object, also for a refusal; what a person
should read beside it goes to standard error. An unforeseen failure is one sentence too; its
traceback is shown when SETTLEMENT_LOG_LEVEL is debug.
Does not: swallow anything: every failure ends in a non-zero exit code.
Change colour: green.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import rich_click as click
from rich.console import Console

from settlement.config import ConfigError, Settings, load, unknown_settings
from settlement.core.errors import DatabaseUnavailable, Kind, SettlementError
from settlement.signing import SigningKeyError
from settlement.store.database import DAMAGED, MigrationRefused, NotAllowed, open_database
from settlement.store.operator import schema_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from settlement.store.database import Database

EXIT_OK: Final = 0
#: A check was made and its answer is no: a bundle, an audit, a doctor's finding.
EXIT_NO: Final = 1
EXIT_USAGE: Final = 2
EXIT_STOPPED: Final = 130
#: The one table of exit codes. 3 is kept for "a server is running" (spec §17.2).
EXIT_BY_KIND: Final[Mapping[Kind, int]] = {
    Kind.INVALID: EXIT_USAGE,
    Kind.UNAUTHENTICATED: 4,
    Kind.FORBIDDEN: 4,
    Kind.NOT_FOUND: 5,
    Kind.REJECTED: 6,
    Kind.CONFLICT: 7,
    Kind.EXHAUSTED: 8,
    Kind.UNAVAILABLE: 9,
    Kind.CORRUPT: 10,
}

database_option = click.option(
    "--database",
    metavar="URL",
    help="Instead of SETTLEMENT_DATABASE: sqlite:///... or postgresql://...",
)
DATABASE_ADVICE: Final = (
    "Check SETTLEMENT_DATABASE, and that the database runs and lets this user in."
)
DAMAGE_ADVICE: Final = (
    "Stop the servers and keep the file as it is; then docs/incident_runbook.md, incident 7."
)
RIGHTS_ADVICE: Final = (
    "If the owner of the tables is meant to do this: --database postgresql://OWNER@..."
    " If this role lacks its rights, as after a migration or a restore into an empty database:"
    " run deploy/postgres/roles.sql as the owner."
)
#: Columns of what is no terminal: nothing is cut or wrapped for a window that is not there.
WIDE: Final = 1000
#: What a command may end with that is no fault of ours.
REFUSALS: Final = (
    SettlementError,
    ConfigError,
    SigningKeyError,
    MigrationRefused,
    NotAllowed,
    OSError,
)

#: What callers are told of their own things and of endpoints, for whoever may see everything.
_BY_HAND: Final[Mapping[str, str]] = {
    "deal_not_found": "There is no deal or chain {deal_id}.",
    "key_not_found": "There is no API key {key_id}."
    " `settlement keys list --agent AGENT` lists an agent's.",
    "already_rotated": "API key {key_id} was rotated already, and a key has one successor."
    " Rotate that: `settlement keys list --agent AGENT --json` shows it, by its rotated_from.",
    "key_not_active": "API key {key_id} is {status}. `settlement keys create` makes a new one.",
}

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output."
)


def console() -> Console:
    """Where people read: standard output; what is no terminal gets plain, whole lines."""
    terminal = sys.stdout.isatty()
    return Console(highlight=False, soft_wrap=not terminal, width=None if terminal else WIDE)


def notes() -> Console:
    """Remarks that must not mix with an answer: standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def emit(document: Mapping[str, Any]) -> None:
    """Print the one JSON object."""
    click.echo(json.dumps(document, ensure_ascii=False, default=str))


def settings_from_environment(**overrides: str | None) -> Settings:
    """The settings of this process; names that are not settings are remarked on."""
    for name, meant in unknown_settings(os.environ):
        hint = f"did you mean {meant}?" if meant else "`settlement settings` lists them."
        notes().print(f"[yellow]{name} is not a setting[/]; {hint}")
    given = {name: text for name, text in overrides.items() if text is not None}
    return load(os.environ, **given)


@contextmanager
def opened(
    settings: Settings, *, must_exist: bool = False, migrated: bool = False
) -> Iterator[Database]:
    """The database, closed at the end.

    `must_exist`: do not make an SQLite file where there is none. `migrated`: refuse a database
    whose schema is not this release's.
    """
    path = settings.sqlite_path
    if must_exist and path is not None and not path.exists():
        raise ConfigError(
            "SETTLEMENT_DATABASE",
            settings.database,
            "there is no such file",
            "`settlement serve` or `settlement migrate` makes it.",
        )
    db = open_database(settings.database)
    try:
        if migrated and (pending := schema_state(db).pending):
            raise MigrationRefused(
                f"the database lacks migration {pending[0]}: run `settlement migrate`"
            )
        yield db
    finally:
        db.close()


def run(app: click.Command, arguments: list[str]) -> int:
    """Run a command; the exit code of what became of it."""
    as_json = "--json" in arguments
    sys.excepthook = _unforeseen
    logging.getLogger("psycopg.pool").addHandler(_POOL)
    try:
        outcome = app.main(arguments, prog_name="settlement", standalone_mode=False)
    except click.ClickException as error:
        return _usage(error, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        notes().print("Stopped.")
        return EXIT_STOPPED
    except BrokenPipeError:
        # The reader of our output (`| head`) has left; that is no failure of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except REFUSALS as error:
        return refusal(*_told(error), as_json=as_json)
    return outcome if isinstance(outcome, int) else EXIT_OK


def _told(error: Exception) -> tuple[str, str, int]:
    """Code, sentence and exit code of a refusal."""
    match error:
        case DatabaseUnavailable():
            sentence = f"{database_silence(error)} {database_advice(error)}"
            return error.code, sentence, EXIT_BY_KIND[error.kind]
        case SettlementError():
            said = _BY_HAND.get(error.code)
            sentence = error.detail if said is None else said.format(**error.members())
            return error.code, sentence, EXIT_BY_KIND[error.kind]
        case MigrationRefused():
            return "migration_refused", f"{error}.", EXIT_NO
        case NotAllowed():
            sentence = f"The database refuses this to its role ({error}). {RIGHTS_ADVICE}"
            return "role_lacks_rights", sentence, EXIT_BY_KIND[Kind.FORBIDDEN]
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return "system_error", f"{where}{error.strerror or error}.", EXIT_NO
    return "setting_invalid", str(error), EXIT_USAGE


def database_silence(error: DatabaseUnavailable) -> str:
    """The sentence for a command: with the driver's own words, without advice on requests."""
    return f"The database did not answer ({_POOL.said or error.reason})."


def database_advice(error: DatabaseUnavailable) -> str:
    """What to do next."""
    return DAMAGE_ADVICE if error.reason.startswith(DAMAGED) else DATABASE_ADVICE


class _PoolWords(logging.Handler):
    """Keeps what the connection pool last complained of; it says so again at every try."""

    said = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Remember the first line."""
        words = record.getMessage().splitlines()[0].rpartition("failed: ")
        self.said = words[2].strip()


_POOL: Final = _PoolWords(logging.WARNING)


def refusal(code: str, sentence: str, exit_code: int, *, as_json: bool) -> int:
    """Say it, as JSON or in a sentence; the exit code."""
    if as_json:
        emit({"ok": False, "error": code, "detail": sentence})
    else:
        notes().print("[bold red]Error:[/] ", end="")
        notes().print(sentence, markup=False)
    return exit_code


def _usage(error: click.ClickException, *, as_json: bool) -> int:
    if as_json:
        emit({"ok": False, "error": "usage", "detail": error.format_message()})
    else:
        error.show()
    return error.exit_code


def _unforeseen(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """A fault of ours: one sentence; the traceback only for whoever asked for debug."""
    notes().print(
        f"[bold red]Fault:[/] the program failed ({kind.__name__}: {error})."
        " Run it again with SETTLEMENT_LOG_LEVEL=debug for the details, and report them.",
        markup=True,
    )
    if os.environ.get("SETTLEMENT_LOG_LEVEL", "").lower() == "debug":
        sys.__excepthook__(kind, error, trace)
