"""`settlement keys`: an operator's hand on API keys, directly on the database.

Guarantees: a key's text is printed once, by the command that made it, on standard output and
nowhere else; `validate` reads it from standard input, since arguments are seen by every process of
the machine. What a command changes counts in every running server within a second.
Does not: need a running server.

Spec §12.1. Change colour: green.
"""

from __future__ import annotations

import secrets
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.markup import escape
from rich.table import Table

from settlement.cli.output import (
    EXIT_NO,
    EXIT_OK,
    console,
    database_option,
    emit,
    json_option,
    notes,
    opened,
    settings_from_environment,
)
from settlement.cli.pause import operator_name
from settlement.core.api_keys import ADMIN, GRACE_SECONDS, GRACE_SECONDS_MAX, SCOPES
from settlement.core.operation import Rules
from settlement.core.principal import Principal, PrincipalKind
from settlement.service import api_keys
from settlement.service.agents import check_agent
from settlement.service.engine import Engine

if TYPE_CHECKING:
    from settlement.core.operation import Operation
    from settlement.store.database import Database

operator_option = click.option(
    "--operator", "by", default=None, help="Who does it; the name of the system's user if left out."
)


def by_hand(name: str | None) -> Principal:
    """Whoever runs the service: no agent, every right."""
    return Principal(
        kind=PrincipalKind.OPERATOR, name=operator_name(name), scopes=frozenset({ADMIN})
    )


def perform(db: Database, operation: Operation) -> dict[str, Any]:
    """Run an operation here and now; raises its refusal."""
    engine = Engine(db, Rules(), entropy=lambda: secrets.token_bytes(16))
    result: dict[str, Any] = engine.execute(operation).unwrap()
    return result


def show_once(text: str) -> None:
    """Print a key's text for a person."""
    console().print(f"API key: {text}", soft_wrap=True)
    notes().print("It is shown this once; only its digest is kept.")


@click.group()
def keys() -> None:
    """Make, list, rotate, revoke and validate API keys."""


@keys.command("list")
@click.option("--agent", "agent_id", required=True, help="Whose keys.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 200))
@database_option
@json_option
def list_(*, agent_id: str, limit: int, database: str | None, as_json: bool) -> None:
    """List an agent's keys, newest first."""
    with opened(settings_from_environment(database=database), must_exist=True, migrated=True) as db:
        check_agent(db, agent_id)
        page = api_keys.keys_page(db, agent_id, limit=limit)
    if as_json:
        emit({"ok": True, **page})
        return
    table = Table("key_id", "key_prefix", "name", "status", "ends", "scopes")
    for one in page["keys"]:
        ends = one["revoked_at"] or one["grace_until"] or one["expires_at"] or ""
        scopes = " ".join(one["scopes"])
        shown = (one["key_id"], one["key_prefix"], escape(one["name"]), one["status"], ends, scopes)
        table.add_row(*shown)
    console().print(table)


@keys.command()
@click.option("--agent", "agent_id", required=True, help="Whose key it will be.")
@click.option("--name", default="", help="For people, to tell keys apart.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([*SCOPES]),
    help="What it opens; give it once per scope. `admin` makes an operator.",
)
@click.option("--expires-at", default=None, metavar="TIME", help="Like 2026-01-31T12:00:00.000000Z")
@operator_option
@database_option
@json_option
def create(
    *, agent_id: str, by: str | None, database: str | None, as_json: bool, **wishes: Any
) -> None:
    """Make a key with just these scopes."""
    with opened(settings_from_environment(database=database), must_exist=True, migrated=True) as db:
        made = api_keys.new_key(by_hand(by), agent_id, **wishes)
        record = perform(db, made.operation)
    _tell_made(record, made.api_key, as_json=as_json)


def _tell_made(record: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        emit({"ok": True, **record, "api_key": text})
        return
    scopes = " ".join(record["scopes"])
    console().print(f"{record['key_id']} of {record['agent_id']} opens: {scopes}")
    show_once(text)


@keys.command()
@click.argument("key_id")
@click.option(
    "--grace-seconds",
    default=GRACE_SECONDS,
    show_default=True,
    type=click.IntRange(0, GRACE_SECONDS_MAX),
    help="How long the old key still counts, without the scope `keys`.",
)
@operator_option
@database_option
@json_option
def rotate(
    *, key_id: str, grace_seconds: int, by: str | None, database: str | None, as_json: bool
) -> None:
    """Give a key its successor."""
    with opened(settings_from_environment(database=database), must_exist=True, migrated=True) as db:
        owner = api_keys.owner_of(db, key_id)
        made = api_keys.new_rotation(by_hand(by), owner, key_id, grace_seconds)
        record = perform(db, made.operation)
    _tell_made(record, made.api_key, as_json=as_json)
    if not as_json:
        console().print(f"{key_id} counts until {record['grace_until']}.")


@keys.command()
@click.argument("key_id", required=False)
@click.option("--all", "every", is_flag=True, help="All keys of --agent, also what they have made.")
@click.option("--agent", "agent_id", default=None, help="Whose keys, with --all.")
@click.option("--reason", required=True, help="Why; stays on record.")
@operator_option
@database_option
@json_option
def revoke(  # noqa: PLR0913  # one parameter per option
    *,
    key_id: str | None,
    every: bool,
    agent_id: str | None,
    reason: str,
    by: str | None,
    database: str | None,
    as_json: bool,
) -> None:
    """End a key at once, in its grace too; or, with --all, every key of an agent."""
    if every != (agent_id is not None) or every == (key_id is not None):
        raise click.UsageError("name a KEY_ID, or say --all --agent AGENT")
    with opened(settings_from_environment(database=database), must_exist=True, migrated=True) as db:
        if agent_id is not None:
            run = partial(perform, db)
            ended = api_keys.revoke_all(db, by_hand(by), agent_id, reason, run)
        else:
            assert key_id is not None, "said above"
            ended = [perform(db, api_keys.new_revocation(db, by_hand(by), key_id, reason))]
    if as_json:
        emit({"ok": True, "keys": ended} if every else {"ok": True, **ended[0]})
        return
    for record in ended:
        console().print(f"{record['key_id']} is revoked since {record['revoked_at']}.")
    if every:
        console().print(f"No key of {agent_id} counts any more.")


@keys.command()
@click.option("--scope", default=None, type=click.Choice([*SCOPES]), help="Must open this too.")
@database_option
@json_option
def validate(*, scope: str | None, database: str | None, as_json: bool) -> int:
    """Say whether the key on standard input counts."""
    if sys.stdin.isatty():
        text = click.prompt("API key", hide_input=True)
    else:
        text = sys.stdin.readline().strip()
    with opened(settings_from_environment(database=database), must_exist=True, migrated=True) as db:
        found = api_keys.validate(db, text, scope)
    if as_json:
        emit({"ok": True, **found})
    elif found["valid"]:
        console().print(f"valid: {found['key_id']} of {found['agent_id']}, {found['status']}")
    else:
        console().print(f"not valid: {found.get('reason') or 'it does not count'}")
    return EXIT_OK if found["valid"] else EXIT_NO


@keys.command()
@json_option
def scopes(*, as_json: bool) -> None:
    """List the scopes and what each opens."""
    if as_json:
        emit({"ok": True, "scopes": dict(SCOPES)})
        return
    table = Table("scope", "opens")
    for name, opens in SCOPES.items():
        table.add_row(name, opens)
    console().print(table)
