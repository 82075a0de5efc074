"""`settlement verify BUNDLE`: check a proof bundle with nothing but the file and a public key.

Guarantees: touches no server, no database, no network; exits 0, 1 or 2.
Does not: trust a key that comes with the bundle: without one given, the head is not checked.
Change colour: green.
"""

from __future__ import annotations

import base64
import binascii
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape
from rich.table import Table

from settlement.cli.output import EXIT_NO, EXIT_OK, console, emit, json_option
from settlement.core.bundle_check import StepResult, verify_bundle
from settlement.core.canonical import load_json
from settlement.core.errors import CanonicalForm
from settlement.signing import verify_ed25519

if TYPE_CHECKING:
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
@click.option(
    "--public-key",
    "key",
    metavar="FILE|BASE64",
    help="The log's public key: base64 of 32 bytes, or a file with it (also the JSON answer of"
    " /protocol/merkle/public-key).",
)
@json_option
def verify(*, bundle: Path, key: str | None, as_json: bool) -> int:
    """Verify an exported proof bundle offline.

    BUNDLE is the file, or - for standard input. Exit code: 0 verified, 1 not, 2 unreadable.
    """
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
