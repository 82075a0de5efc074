"""`settlement deal` and `settlement replay`: one deal, where it stands, and whether its books hold.

Guarantees: both only read, one snapshot each, and need no running server. `deal` tells what the
deal waits for and who can end that; `replay` exits 1 unless the verdict is clean.
Does not: repair, or show payloads, destinations and quotes.

Spec §16.2, §17.4. Change colour: green.
"""

from __future__ import annotations

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
    opened,
    settings_from_environment,
)
from settlement.core.money import Asset, format_exact
from settlement.service.chain_report import chain_report, is_system_chain
from settlement.service.deal_report import deal_report
from settlement.service.replay import CLEAN, replay_deal

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument("deal_id")
@database_option
@json_option
def deal(*, deal_id: str, database: str | None, as_json: bool) -> None:
    """Show all of one deal: events, money, what was asked of rails, and what it waits for.

    Of a chain of the service itself, such as sys_AGENT, its events and what each says.
    """
    with opened(settings_from_environment(database=database), must_exist=True, migrated=True) as db:
        is_chain = is_system_chain(deal_id)
        report = chain_report(db, deal_id) if is_chain else deal_report(db, deal_id)
    if as_json:
        emit({"ok": True, **report})
    elif is_chain:
        _show_chain(report)
    else:
        _show_deal(report)


def _show_chain(report: dict[str, Any]) -> None:
    rows = [
        {**one, "says": ", ".join(f"{name}={said}" for name, said in one["payload"].items())}
        for one in report["events"]
    ]
    _table(rows, ("version", "event_type", "actor_id", "timestamp", "log_index", "says"))


def _show_deal(report: dict[str, Any]) -> None:
    out = console()
    asset = Asset.parse(report["asset"])
    for name in ("status", "seller", "buyer", "acceptance"):
        out.print(f"{name:12} {escape(str(report[name] or ''))}")
    for name in ("price_minor", "gross_minor", "in_escrow_minor"):
        if report[name] is not None:
            amount = format_exact(report[name], asset)
            out.print(f"{name.removesuffix('_minor'):12} {amount} {asset.currency}")
    _table(report["events"], ("version", "event_type", "actor_id", "timestamp", "log_index"))
    effects = ("effect_id", "kind", "state", "amount_minor", "rail_ref", "refusal", "ask_count")
    _table(report["effects"], effects)
    payouts = ("payout_id", "agent_id", "state", "amount_minor", "waiting_for", "next_check_at")
    _table(report["payouts"], payouts)
    _table(report["messages"], ("seq", "event_type", "status", "attempts", "last_error"))
    for one in report["waits"]:
        out.print(f"[yellow]{one['what']}[/] waits for: {escape(one['waits_for'])}", soft_wrap=True)
    if report["paused"]:
        out.print(f"[yellow]paused:[/] {', '.join(report['paused'])}")


def _table(rows: Sequence[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """A table, left out when it would be empty."""
    if not rows:
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if row[name] is None else escape(str(row[name])) for name in columns))
    console().print(table)


@click.command()
@click.argument("deal_id")
@database_option
@json_option
def replay(*, deal_id: str, database: str | None, as_json: bool) -> int:
    """Replay one deal from its events and compare it with the books; exit code 1 unless clean."""
    with opened(settings_from_environment(database=database), must_exist=True, migrated=True) as db:
        report = replay_deal(db, deal_id)
    if as_json:
        emit(report)
    else:
        _show_replay(report)
    return EXIT_OK if report["verdict"] == CLEAN else EXIT_NO


def _show_replay(report: dict[str, Any]) -> None:
    out = console()
    chain, ledger = report["chain"], report["ledger"]
    out.print(f"chain      {chain['event_count']} events, head {chain['head_hash'][:16]}")
    sums = ", ".join(f"{n} {ledger[n]}" for n in ("gross", "platform_fee", "protocol_fee", "net"))
    out.print(f"ledger     {ledger['entry_count']} entries: {sums}")
    life, rail = report["lifecycle"], report["rail"]
    faults = [
        *chain["errors"],
        *(
            f"{one['event_type']} is illegal in {one['state']}."
            for one in life["illegal_transitions"]
        ),
        *(f"Missing: {one}." for one in life["missing_events"]),
        *(f"Differs: {one}" for one in report["comparison"]["differences"]),
        *(f"Twice in the ledger: {one}" for one in ledger["duplicates"]),
        *(f"On one side only, at the rail or here: {one}" for one in rail["unmatched"]),
    ]
    if not report["receipts"]["hashes_ok"]:
        faults.append("A receipt does not hash to what is stored.")
    if not ledger["splits_ok"]:
        faults.append("The parts do not sum to the gross, or are not those of the events.")
    for fault in faults:
        out.print(f"[red]-[/] {escape(str(fault))}", soft_wrap=True)
    colour = "green" if report["verdict"] == CLEAN else "red"
    out.print(f"verdict    [bold {colour}]{report['verdict']}[/]")
