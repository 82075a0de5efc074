"""`settlement effects`, `jobs` and `outbox`: what is under way, how old it is, what it waits for.

Guarantees: no list shows a payload, a destination or a key.
Does not: change anything but by `jobs requeue` and `outbox release`. An effect whose outcome is
unknown resolves itself by asking.
Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.markup import escape
from rich.table import Table

from settlement.cli.output import (
    EXIT_NO,
    EXIT_OK,
    WIDE,
    console,
    database_option,
    emit,
    json_option,
    notes,
    opened,
    settings_from_environment,
)
from settlement.cli.pause import operator_name
from settlement.core.clock import SECOND_US, parse_time
from settlement.core.errors import JobNotFound, MessageNotFound
from settlement.core.money import Asset, format_exact
from settlement.service.agents import check_agent
from settlement.service.chain_report import check_chain
from settlement.service.jobs import JobQueue
from settlement.service.outbox import Outbox
from settlement.store import operator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from settlement.store.database import Database
    from settlement.store.operator import Listed

_EFFECT_STATES = ("planned", "sent", "unknown", "confirmed", "refused")
_JOB_STATES = ("queued", "leased", "retry", "done", "dead", "cancelled")
_OUTBOX_STATES = ("pending", "parked", "emitted")
_limit = click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most."
)


@click.command()
@click.option("--state", type=click.Choice(_EFFECT_STATES), default=None, help="Only these.")
@click.option("--open", "only_open", is_flag=True, help="Without an outcome: all but the last two.")
@click.option("--deal", "deal_id", default="", help="Of this deal.")
@click.option("--agent", "agent_id", default="", help="Of deals it is a party of or acted in.")
@_limit
@database_option
@json_option
def effects(  # noqa: PLR0913  # one parameter per option
    *,
    state: str | None,
    only_open: bool,
    deal_id: str,
    agent_id: str,
    limit: int,
    database: str | None,
    as_json: bool,
) -> None:
    """List what was asked of rails, newest first."""
    if only_open and state is not None:
        raise click.UsageError("--open names the states already; give it or --state")
    wanted = "open" if only_open else state or ""
    settings = settings_from_environment(database=database)
    with opened(settings, must_exist=True, migrated=True) as db:
        _check_named(db, deal_id, agent_id)
        listed = operator.effects(db, wanted, limit, deal_id=deal_id, agent_id=agent_id)
    rows = told(listed, _effect_waits)
    for row in rows:
        row["next_look_at"] = _time(listed, row.pop("job_run_at_us"))
    if as_json:
        emit({"ok": True, "effects": rows})
        return
    for row in rows:
        row["amount"] = format_exact(row["amount_minor"], Asset.parse(row["asset"]))
    show(rows, ("effect_id", "kind", "amount", "state", "age_seconds", "waiting_for", "refusal"))


def _check_named(db: Database, deal_id: str, agent_id: str) -> None:
    """A name that is wrong must not read as "nothing": raise DealNotFound or AgentNotFound."""
    if deal_id:
        check_chain(db, deal_id)
    if agent_id:
        check_agent(db, agent_id)


@click.group(invoke_without_command=True)
@click.option("--status", type=click.Choice(_JOB_STATES), default=None, help="Only these.")
@_limit
@database_option
@json_option
@click.pass_context
def jobs(
    context: click.Context,
    *,
    status: str | None,
    limit: int,
    database: str | None,
    as_json: bool,
) -> None:
    """List queued work, newest first."""
    if context.invoked_subcommand is not None:
        return
    with opened(settings_from_environment(database=database), must_exist=True) as db:
        listed = operator.jobs(db, status or "", limit)
    rows = told(listed, _job_waits)
    for row in rows:
        row["run_at"] = _time(listed, row.pop("run_at_us"))
        row["lease_expires_at"] = _time(listed, row.pop("lease_expires_us"))
    if as_json:
        emit({"ok": True, "jobs": rows})
        return
    columns = ("job_id", "job_type", "status", "attempts", "age_seconds", "waiting_for")
    show(rows, (*columns, "last_error"))


@jobs.command()
@click.argument("job_id")
@click.option("--reason", required=True, help="Why; stays on record.")
@click.option("--operator", "by", default=None, help="Who does it; else the system's user.")
@database_option
@json_option
def requeue(
    *, job_id: str, reason: str, by: str | None, database: str | None, as_json: bool
) -> None:
    """Give a dead or cancelled job a new life."""
    settings = settings_from_environment(database=database)
    with opened(settings, must_exist=True, migrated=True) as db:
        queue = JobQueue(db)
        before = queue.get(job_id)
        after = queue.requeue(job_id, reason, operator_name(by))
    if before is None or after is None:
        raise JobNotFound(job_id=job_id)
    changed = before.status != after.status
    if as_json:
        emit({"ok": True, "job_id": job_id, "status": after.status, "changed": changed})
        return
    console().print(f"{job_id} is {after.status}." if changed else f"{job_id} was not dead.")


@click.group(invoke_without_command=True)
@click.option(
    "--state",
    type=click.Choice(_OUTBOX_STATES),
    default="pending",
    show_default=True,
    help="Only these.",
)
@_limit
@database_option
@json_option
@click.pass_context
def outbox(
    context: click.Context, *, state: str, limit: int, database: str | None, as_json: bool
) -> None:
    """List messages about what has happened, oldest first."""
    if context.invoked_subcommand is not None:
        return
    with opened(settings_from_environment(database=database), must_exist=True) as db:
        listed = operator.outbox(db, state, limit)
    rows = told(listed, _outbox_waits)
    for row in rows:
        row["next_attempt_at"] = _time(listed, row.pop("next_attempt_us") or None)
    if as_json:
        emit({"ok": True, "outbox": rows})
        return
    columns = ("seq", "event_type", "deal_id", "status", "attempts", "age_seconds", "waiting_for")
    show(rows, (*columns, "last_error"))


@outbox.command()
@click.argument("seq", type=click.IntRange(1))
@click.option("--reason", required=True, help="Why; stays on record.")
@click.option("--operator", "by", default=None, help="Who does it; else the system's user.")
@database_option
@json_option
def release(*, seq: int, reason: str, by: str | None, database: str | None, as_json: bool) -> int:
    """Let a parked message go on, and its deal's later ones with it.

    Exit code 1 while its event is not in its chain: the message is then left parked, since it
    would tell of something that is not there.
    """
    settings = settings_from_environment(database=database)
    with opened(settings, must_exist=True, migrated=True) as db:
        done = Outbox(db).release(seq, reason, operator_name(by))
    if done is None:
        raise MessageNotFound(message_id=str(seq))
    if as_json:
        emit({"ok": done.event_is_there, "seq": seq, "released": done.released})
    elif done.released:
        console().print(f"Message {seq} goes on.")
    elif done.event_is_there:
        console().print(f"Message {seq} was not parked.")
    else:
        console().print(f"Message {seq} stays parked: its event is not in its chain.")
    return EXIT_OK if done.event_is_there else EXIT_NO


# --- what each waits for -------------------------------------------------------------------------


def _effect_waits(row: dict[str, Any], lease_us: int) -> str | None:
    match row["state"]:
        case "planned":
            error = row["last_error"] or ""
            return error if error.startswith("paused: ") else "a worker that sends it"
        case "sent":
            return "the rail's answer"
        case "unknown":
            later = (row["job_run_at_us"] or 0) > lease_us
            return "the next question to the rail" if later else "a worker that asks the rail"
    return None


def _job_waits(row: dict[str, Any], lease_us: int) -> str | None:
    match row["status"]:
        case "queued" | "retry":
            later = row["run_at_us"] > lease_us
            error = row["last_error"] or ""
            if later and error.startswith("paused: "):
                return error
            return "its time" if later else "a worker"
        case "leased":
            over = (row["lease_expires_us"] or 0) <= lease_us
            return "a worker to take it over" if over else "its worker"
        case "dead":
            return "an operator (settlement jobs requeue)"
    return None


def _outbox_waits(row: dict[str, Any], lease_us: int) -> str | None:
    match row["status"]:
        case "pending":
            return "its time" if row["next_attempt_us"] > lease_us else "the relay"
        case "parked":
            return "an operator (settlement outbox release)"
    return None


# --- showing -------------------------------------------------------------------------------------


def told(
    listed: Listed, waits: Callable[[dict[str, Any], int], str | None]
) -> list[dict[str, Any]]:
    """Rows with their age and what each waits for."""
    rows = [dict(row) for row in listed.rows]
    for row in rows:
        row["age_seconds"] = max(0, listed.now_us - parse_time(row["created_at"])) // SECOND_US
        row["waiting_for"] = waits(row, listed.lease_us)
    return rows


def _time(listed: Listed, lease_us: int | None) -> str | None:
    return None if lease_us is None else listed.shown(lease_us)


def show(rows: Sequence[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """A table; ids are cut where the window is narrow, and then a remark says where to look."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if row[name] is None else escape(str(row[name])) for name in columns))
    out = console()
    out.print(table if rows else "Nothing.")
    if rows and out.measure(table, options=out.options.update(width=WIDE)).maximum > out.width:
        notes().print("Cut to fit the window; --json has everything whole.")
