"""`settlement ledger`: what an operator books by hand.

Guarantees: what is written off has a reason and a name, which stay on record as an event of the
agent, and never exceeds what is owed.
Does not: need a running server.

Spec §5.2. Change colour: red.
"""

from __future__ import annotations

import rich_click as click

from settlement.cli.keys import by_hand, operator_option, perform
from settlement.cli.output import (
    console,
    database_option,
    emit,
    json_option,
    opened,
    settings_from_environment,
)
from settlement.cli.pause import operator_name
from settlement.core.canonical import sha256_hex
from settlement.core.money import Asset, format_exact, parse_amount
from settlement.core.operations import WriteOff


@click.group()
def ledger() -> None:
    """Book what only an operator may."""


@ledger.command("write-off")
@click.argument("agent_id")
@click.option("--amount", required=True, help="How much of the debt, like 12.34.")
@click.option("--asset", default=None, help="The default asset if left out.")
@click.option("--reason", required=True, help="Why; its digest stays on record.")
@operator_option
@database_option
@json_option
def write_off(  # noqa: PLR0913  # one parameter per option
    *,
    agent_id: str,
    amount: str,
    asset: str | None,
    reason: str,
    by: str | None,
    database: str | None,
    as_json: bool,
) -> None:
    """Forgive an agent what it owes and will not pay."""
    settings = settings_from_environment(database=database)
    kept = Asset.parse(asset or settings.default_asset)
    operation = WriteOff(
        principal=by_hand(by),
        agent_id=agent_id,
        asset=kept.code,
        amount_minor=parse_amount(amount, kept, "amount"),
        operator=operator_name(by),
        reason_hash=sha256_hex(reason),
    )
    with opened(settings, must_exist=True, migrated=True) as db:
        result = perform(db, operation)
    if as_json:
        emit({"ok": True, **result})
        return
    gone, left = (format_exact(result[name], kept) for name in ("amount_minor", "owes_minor"))
    console().print(f"{gone} {kept.currency} written off; {agent_id} owes {left}.")
