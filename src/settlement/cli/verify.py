"""`settlement verify BUNDLE`: check a proof bundle with nothing but the file and a public key.

`settlement verify intent FILE` checks an award likewise (`verify_intent.py`).
Guarantees: touches no server, no database, no network; exits 0, 1 or 2.
Does not: trust a key that comes with the bundle: without one given, the head is not checked.
Change colour: green.
"""

from __future__ import annotations

import base64
import binascii
import sys
from pathlib import Path
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
from settlement.core.award_check import check_award
from settlement.core.bundle_check import StepResult, verify_bundle
from settlement.core.canonical import load_json
from settlement.core.errors import CanonicalForm
from settlement.core.ids import IntentId
from settlement.core.principal import SYSTEM
from settlement.service.exchange import reveal_to
from settlement.signing import verify_ed25519

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.core.award_check import AwardReport
    from settlement.core.bundle_check import BundleReport
    from settlement.core.canonical import Json

_MARKS = {
    StepResult.PASS: "[green]pass[/]",
    StepResult.FAIL: "[bold red]fail[/]",
    StepResult.SKIP: "[yellow]skip[/]",
}
_KEY_BYTES = 32


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, allow_dash=True))
@click.argument("intent", metavar="[FILE|ID]", required=False)
@click.option(
    "--bundle",
    "anchor",
    type=click.Path(path_type=Path),
    help="With `verify intent`: the deal's own bundle, whose events the award must stand on.",
)
@click.option(
    "--public-key",
    "key",
    metavar="FILE|BASE64",
    help="The log's public key: base64 of 32 bytes, or a file with it (also the JSON answer of"
    " /protocol/merkle/public-key).",
)
@database_option
@json_option
def verify(  # one parameter per option
    *,
    bundle: Path,
    intent: str | None,
    anchor: Path | None,
    key: str | None,
    database: str | None,
    as_json: bool,
) -> int:
    """Verify an exported proof bundle offline, or, as `verify intent FILE|ID`, an award.

    BUNDLE is the file, or - for standard input. An award's FILE is what the client gets from
    /protocol/intents/ID/reveal; an ID is looked up in the database. Exit code: 0 verified, 1 not, 2
    unreadable.
    """
    if intent is not None:
        if str(bundle) != "intent":
            raise click.UsageError("Two arguments are for `settlement verify intent FILE|ID`.")
        return verify_award(intent, anchor=anchor, key=key, database=database, as_json=as_json)
    report = verify_bundle(read_bundle(bundle), verify_ed25519, read_key(key) if key else "")
    if as_json:
        emit({"ok": report.verified, **report.document()})
    else:
        show_report(report)
        if not key:
            console().print(
                "The tree head's signature was not checked; --public-key takes the log's key, which"
                " GET /protocol/merkle/public-key answers."
            )
    return EXIT_OK if report.verified else EXIT_NO


def read_bundle(path: Path) -> dict[str, Json]:
    """The bundle's members; raises UsageError when the file is not one JSON object."""
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        document = load_json(content)
    except CanonicalForm as error:
        raise click.UsageError(f"{path} holds no bundle: {error.reason}.") from error
    if not isinstance(document, dict):
        raise click.UsageError(f"{path} holds no bundle: it is not a JSON object.")
    return document


def read_key(text: str) -> str:
    """Base64 of a public key, from the text itself or from the file it names."""
    path = Path(text)
    if len(text) < 256 and path.is_file():  # noqa: PLR2004  # longer is no file name
        text = path.read_text("utf-8", errors="replace")
    text = text.strip()
    if text.startswith("{"):
        text = _key_member(text)
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise click.UsageError("--public-key is neither base64 of 32 bytes nor a file with it.")
    return text


def _key_member(text: str) -> str:
    try:
        document = load_json(text)
    except CanonicalForm as error:
        raise click.UsageError("--public-key names a file that is not JSON.") from error
    found = document.get("public_key_base64") if isinstance(document, dict) else None
    return found if isinstance(found, str) else ""


def show_report(report: BundleReport) -> None:
    """A table of the steps and the verdict."""
    table = Table("step", "result", "why")
    for step in report.steps:
        table.add_row(step.name, _MARKS[step.result], escape(step.why))
    out = console()
    out.print(table)
    verdict = "[bold green]verified[/]" if report.verified else "[bold red]NOT verified[/]"
    out.print(
        f"{verdict}, level {report.level.value}: deal {escape(str(report.deal_id))},"
        f" {report.event_count} events, {report.proof_count} proofs"
    )
    loose = report.event_count - report.anchored_events
    if loose:
        out.print(f"[yellow]{loose} of the events are not vouched for by a signed tree head[/]")


def verify_award(
    what: str, *, anchor: Path | None, key: str | None, database: str | None, as_json: bool
) -> int:
    """Check an award from its document, or from the database for an intent's id."""
    document: Mapping[str, Any]
    if what.startswith(IntentId.prefix) and not Path(what).exists():
        settings = settings_from_environment(database=database)
        with opened(settings, must_exist=True, migrated=True) as db:
            document = reveal_to(db, what, SYSTEM)
    else:
        document = read_bundle(Path(what))
    events: list[Any] | None = None
    if anchor is not None:
        bundle = read_bundle(anchor)
        checked = verify_bundle(bundle, verify_ed25519, read_key(key) if key else "")
        found = bundle.get("events")
        # A bundle that does not verify vouches for nothing.
        events = found if checked.verified and isinstance(found, list) else []
    report = check_award(document, events)
    if as_json:
        emit({"ok": report.verified, **report.document()})
    else:
        _show_award(report)
    return EXIT_OK if report.verified else EXIT_NO


def _show_award(report: AwardReport) -> None:
    table = Table("step", "result", "why")
    for step in report.steps:
        table.add_row(step.name, _MARKS[step.result], escape(step.why))
    out = console()
    out.print(table)
    verdict = "[bold green]verified[/]" if report.verified else "[bold red]NOT verified[/]"
    out.print(f"{verdict}: intent {escape(report.intent_id)}, {report.bid_count} bids")
