"""`settlement prove-mover`: try the writes that nobody may make, and say which layer refused each.

Guarantees: everything is tried on a scratch copy (SQLite) or a scratch database beside yours
(PostgreSQL), which is removed; the guards of your database are then compared with those that the
migrations make, definition by definition. Exit 1 when anything was accepted, or a guard is
missing; 4 when the role may not make a scratch database, so that nothing is known.
Does not: write to your database.
Change colour: green.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import rich_click as click
from rich.table import Table

from settlement.cli.output import (
    EXIT_BY_KIND,
    EXIT_NO,
    EXIT_OK,
    console,
    database_option,
    emit,
    json_option,
    refusal,
    settings_from_environment,
)
from settlement.config import load
from settlement.core.api_keys import FIRST_SCOPES
from settlement.core.canonical import j_text
from settlement.core.errors import Kind
from settlement.core.operations import Go, ProofPack, RecordPayment, RecordReceipt, Settle, Split
from settlement.core.principal import ANONYMOUS, SYSTEM, Principal, PrincipalKind
from settlement.core.verification import evaluate
from settlement.service import pauses
from settlement.service.fresh import new_id, new_quote_id
from settlement.service.prove import Verdict, prove
from settlement.service.register import Profile, new_registration
from settlement.store.database import open_database
from settlement.store.pauses import Switch, read_pauses
from settlement.store.scratch import NoScratch, guards_of, scratch_database
from settlement.wiring import build

if TYPE_CHECKING:
    from typing import Any

    from settlement.core.operation import Operation
    from settlement.store.scratch import Scratch
    from settlement.wiring import Services

_PROOF: Final = {"preview_url": "https://example.org/preview"}
_GROSS_MINOR: Final = 10_000


@click.command("prove-mover")
@database_option
@json_option
def prove_mover(*, database: str | None, as_json: bool) -> int:
    """Try to move money past the engine, on a scratch copy, and name what refused each try."""
    settings = settings_from_environment(database=database)
    if not as_json:
        logging.getLogger("settlement").setLevel(logging.CRITICAL)
    try:
        with scratch_database(settings.database) as scratch:
            verdicts, differing = _prove(scratch, settings.database)
    except NoScratch as error:
        # Not 1, which says that a forbidden write was accepted.
        return refusal("no_scratch", f"{error}.", EXIT_BY_KIND[Kind.FORBIDDEN], as_json=as_json)
    good = all(one.refused for one in verdicts) and not differing
    if as_json:
        emit(
            {
                "ok": good,
                "scratch": "copy" if scratch.is_copy else "fresh",
                "attempts": [{**asdict(one), "refused": one.refused} for one in verdicts],
                "guards_missing_or_changed": differing,
            }
        )
    else:
        _show(verdicts, differing, is_copy=scratch.is_copy)
    return EXIT_OK if good else EXIT_NO


def _prove(scratch: Scratch, live_url: str) -> tuple[list[Verdict], list[str]]:
    db = open_database(scratch.url)
    db.migrate()
    db.close()
    services = build(
        load(
            {
                "SETTLEMENT_DATABASE": scratch.url,
                "SETTLEMENT_SIGNING_KEY_FILE": str(scratch.directory / "log_signing.key"),
                # A key of its own needs a name of its own: a copy has heads that the other signed.
                "SETTLEMENT_LOG_KEY_ID": "scratch",
                "SETTLEMENT_CHECKPOINT_FILE": str(scratch.directory / "checkpoint.json"),
                "SETTLEMENT_RAIL_DIR": str(scratch.directory / "rail"),
            }
        )
    )
    try:
        _let_go_on(services)
        settled_id, funded_id = _Story(services).play()
        verdicts = prove(services.db, settled_id, funded_id)
        fresh = _fresh_guards(scratch) if scratch.is_copy else guards_of(services.db)
    finally:
        services.close()
    return verdicts, _differing(fresh, live_url)


def _fresh_guards(scratch: Scratch) -> dict[str, str]:
    """The guards that the migrations make: a copy has what the original has."""
    db = open_database(f"sqlite:///{scratch.directory / 'fresh.db'}")
    try:
        db.migrate()
        return guards_of(db)
    finally:
        db.close()


def _let_go_on(services: Services) -> None:
    """A copy is paused as its original is, which is when an operator asks."""
    for switch in services.db.read(read_pauses).on:
        pauses.change(
            services.db, Switch(switch), paused=False, reason="a scratch copy", operator="prove"
        )


def _differing(fresh: dict[str, str], live_url: str) -> list[str]:
    """Guards that a database fresh from the migrations has, and yours lacks or has otherwise."""
    path = load({}, database=live_url).sqlite_path
    if path is not None and not path.exists():
        return []
    live = open_database(live_url)
    try:
        mine = guards_of(live)
    finally:
        live.close()
    return sorted(name for name, digest in fresh.items() if mine.get(name) != digest)


class _Story:
    """Two deals: one settled between two payees, one whose escrow is full."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def play(self) -> tuple[str, str]:
        """Their ids."""
        seller, other, buyer = (self._agent(name) for name in ("seller", "other", "buyer"))
        settled = self._approved(seller, buyer)
        splits = tuple(
            Split(agent_id=str(one.agent_id), role="worker", share="0.5") for one in (seller, other)
        )
        self._do(
            Settle(principal=seller, deal_id=settled, amount_minor=_GROSS_MINOR, splits=splits)
        )
        while self._services.effects.step():
            pass
        # A copy has the lease of whoever sequences its original, and no one to give it back: this
        # waits until it lapses, where a single step would leave the log without the deal.
        self._services.sequencer.ensure_covered(settled)
        funded = self._approved(seller, buyer)
        self._do(
            RecordPayment(
                principal=SYSTEM,
                deal_id=funded,
                amount_minor=_GROSS_MINOR,
                rail="simulated",
                rail_ref=new_id("ch_"),
                message_id=new_id("msg_"),
            )
        )
        return settled, funded

    def _do(self, operation: Operation) -> dict[str, Any]:
        answer = self._services.engine.run_batch([operation])[0]
        if answer.error is not None:
            raise answer.error
        assert answer.result is not None
        return answer.result

    def _agent(self, name: str) -> Principal:
        made = new_registration(ANONYMOUS, Profile(name=name), now="")
        self._do(made.operation)
        return Principal(
            kind=PrincipalKind.AGENT,
            agent_id=made.operation.agent.agent_id,
            name=name,
            scopes=frozenset(FIRST_SCOPES),
        )

    def _approved(self, seller: Principal, buyer: Principal) -> str:
        quote_id = new_quote_id()
        pack = self._do(
            ProofPack(
                principal=seller,
                new_deal_id=new_id("deal_"),
                quote_id=quote_id,
                agent_username=str(seller.agent_id),
                vertical="scratch",
                sku_id="",
                proof_type="landing_preview",
                proof_data=dict(_PROOF),
                proof_data_text=j_text(dict(_PROOF)),
                scope_summary="Scratch",
                price_minor=_GROSS_MINOR,
                policy="[]",
            )
        )
        deal_id = str(pack["deal_id"])
        self._do(
            RecordReceipt(
                principal=SYSTEM,
                deal_id=deal_id,
                proof_hash=pack["proof_hash"],
                proof_type="landing_preview",
                verdict=evaluate(None, "landing_preview", dict(_PROOF)),
            )
        )
        self._do(
            Go(
                principal=buyer,
                deal_id=deal_id,
                quote_id=quote_id,
                scope_lock_hash=pack["scope_lock_hash"],
                amount_minor=None,
            )
        )
        return deal_id


def _show(verdicts: list[Verdict], differing: list[str], *, is_copy: bool) -> None:
    out = console()
    table = Table("tried", "refused by", "rule")
    for one in verdicts:
        layer = one.layer or "[bold red]NOTHING: it was accepted[/]"
        table.add_row(one.title, layer, one.rule or "")
    out.print(table)
    for name in differing:
        out.print(f"[bold red]{name}[/] is missing in your database, or is not this release's.")
    accepted = sum(not one.refused for one in verdicts)
    where = "a copy of your database" if is_copy else "a scratch database"
    good = not accepted and not differing
    verdict = "[bold green]nothing got past[/]" if good else "[bold red]the books are not safe[/]"
    out.print(f"{len(verdicts)} forbidden writes on {where}: {verdict}.")
