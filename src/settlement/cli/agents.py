"""`settlement agents`: make one by hand, suspend it, approve it as a verifier.

Guarantees: what is decided has a reason and a name, which stay on record as an event; the first
operator is made here, by a key with the scope `admin`.
Does not: need a running server; a running one heeds what was decided within a second.

Spec §11, §12.1. Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape
from rich.table import Table

from settlement.cli.keys import by_hand, operator_option, perform, show_once
from settlement.cli.output import (
    console,
    database_option,
    emit,
    json_option,
    opened,
    settings_from_environment,
)
from settlement.cli.pause import operator_name
from settlement.core.api_keys import FIRST_SCOPES, SCOPES
from settlement.service import agents as service
from settlement.service import destinations
from settlement.service.agents import Verdict
from settlement.service.register import Profile, new_registration

if TYPE_CHECKING:
    from collections.abc import Callable

_DOCS = {
    Verdict.SUSPEND: "Let none of an agent's keys count.",
    Verdict.RESUME: "Let a suspended agent's keys count again.",
    Verdict.APPROVE_VERIFIER: "Make an agent's receipts a verifier's, which policies count.",
    Verdict.WITHDRAW_VERIFIER: "Let an agent's later receipts be those of anybody.",
}


_DESTINATION = ("destination_id", "rail", "address", "status", "created_at")


@click.group()
def agents() -> None:
    """Make, list, suspend and approve agents, and see where their payouts go."""


@agents.command("list")
@click.option("--only", type=click.Choice(["suspended", "verifier"]), default=None)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@database_option
@json_option
def list_(*, only: str | None, limit: int, database: str | None, as_json: bool) -> None:
    """List agents, newest first."""
    with opened(settings_from_environment(database=database), must_exist=True, migrated=True) as db:
        found = service.agents_page(db, limit, only=only or "")
    if as_json:
        emit({"ok": True, "agents": found})
        return
    table = Table("agent_id", "name", "status", "verifier", "created_at")
    for one in found:
        verifier = "yes" if one["verifier"] else ""
        shown = (one["agent_id"], escape(one["name"]), one["status"], verifier, one["created_at"])
        table.add_row(*shown)
    console().print(table)


@agents.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([*SCOPES]),
    help="What its key opens, once per scope; all but admin if left out.",
)
@operator_option
@database_option
@json_option
def create(
    *, name: str, scopes: tuple[str, ...], by: str | None, database: str | None, as_json: bool
) -> None:
    """Register an agent with its first key; `--scope admin` makes an operator."""
    with opened(settings_from_environment(database=database), must_exist=True, migrated=True) as db:
        made = new_registration(
            by_hand(by), Profile(name=name), now="", scopes=scopes or FIRST_SCOPES
        )
        result = perform(db, made.operation)
    if as_json:
        emit({"ok": True, **result, "key_id": made.operation.key.key_id, "api_key": made.api_key})
        return
    console().print(f"{result['agent_id']} is registered.")
    show_once(made.api_key)


@agents.command("destinations")
@click.argument("agent_id")
@database_option
@json_option
def destinations_(*, agent_id: str, database: str | None, as_json: bool) -> None:
    """List where an agent's payouts may go, oldest first; addresses are masked."""
    with opened(settings_from_environment(database=database), must_exist=True, migrated=True) as db:
        service.check_agent(db, agent_id)
        page = destinations.listed(db, agent_id)
    if as_json:
        emit({"ok": True, **page})
        return
    table = Table(*_DESTINATION)
    for one in page["destinations"]:
        table.add_row(*(escape(str(one[name])) for name in _DESTINATION))
    console().print(table if page["destinations"] else "Nothing.")


def _verdict(verdict: Verdict) -> Callable[..., None]:
    @agents.command(verdict.value, help=_DOCS[verdict])
    @click.argument("agent_id")
    @click.option("--reason", required=True, help="Why; its digest stays on record.")
    @operator_option
    @database_option
    @json_option
    def command(
        *, agent_id: str, reason: str, by: str | None, database: str | None, as_json: bool
    ) -> None:
        settings = settings_from_environment(database=database)
        with opened(settings, must_exist=True, migrated=True) as db:
            changed = service.decide(
                db, agent_id, verdict, reason=reason, operator=operator_name(by)
            )
        if as_json:
            emit({"ok": True, "agent_id": agent_id, "verdict": verdict.value, "changed": changed})
            return
        console().print(f"{agent_id}: {'done' if changed else 'it was so already'}.")

    return command


for _one in Verdict:
    _verdict(_one)
