"""What the demo stands on: a small HTTP client, a throw-away server, and a storyteller.

Guarantees: the throw-away server is stopped and its directory removed however the story ends; a
refusal is told as one sentence. Pauses happen only where somebody watches.
Does not: know the story.
Change colour: green.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import rich_click as click
from rich.markup import escape
from rich.table import Table

from settlement.cli.output import console
from settlement.cli.verify import show_report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from settlement.core.bundle_check import BundleReport

_TIMEOUT_SECONDS: Final = 30
_TRIES: Final = 60
_PAUSE_SECONDS: Final = 0.4
_TICK_SECONDS: Final = 0.1
_STOP_SECONDS: Final = 30


class Client:
    """JSON over HTTP. Fractions stay text, so that what is shown is what was sent."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise click.UsageError(f"{url} is not an http address.")
        self._base, self._host = parts.path, parts.hostname
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._kind, self._port = kind, parts.port
        self.log: list[dict[str, Any]] = []

    def get(self, path: str, key: str = "") -> dict[str, Any]:
        """The JSON of a page."""
        return self._answer("GET", path, None, key)

    def post(self, path: str, body: dict[str, Any], key: str = "") -> dict[str, Any]:
        """The JSON answer to a JSON body."""
        return self._answer("POST", path, body, key)

    def finish(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """As `post`, asked again (it is the same call, and happens once) while it is pending."""
        for _ in range(_TRIES):
            answer = self.post(path, body, key)
            if answer.get("final") is not False:
                break
            self.wait()
        return answer

    def raw(self, path: str) -> bytes:
        """The bytes of a page."""
        _status, content = self._exchange("GET", path, None, "")
        return content

    def wait(self) -> None:
        """A moment, before something is asked about again."""
        time.sleep(_TICK_SECONDS)

    def _answer(
        self, method: str, path: str, body: dict[str, Any] | None, key: str
    ) -> dict[str, Any]:
        status, content = self._exchange(method, path, body, key)
        try:
            answer: dict[str, Any] = json.loads(content, parse_float=str)
        except ValueError:
            raise click.ClickException(f"{method} {path} was not answered in JSON.") from None
        self.log.append(
            {
                "request": f"{method} {path}",
                "status": status,
                "replayed": bool(answer.get("_idempotent")),
            }
        )
        return answer

    def _exchange(
        self, method: str, path: str, body: dict[str, Any] | None, key: str
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
        connection = self._kind(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, self._base + path, content, headers)
            response = connection.getresponse()
            status, answer = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise click.ClickException(f"{self._host} did not answer ({error}).") from error
        finally:
            connection.close()
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise click.ClickException(f"{method} {path} was refused: {_detail(answer)}")
        return status, answer


def _detail(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["detail"])
    except (ValueError, KeyError, TypeError):
        return answer[:200].decode("utf-8", "replace")


@contextmanager
def throw_away_server(database: str | None) -> Iterator[str]:
    """The address of a sandbox server on a free port, with its files in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="settlement-demo-") as name:
        directory = Path(name)
        log = directory / "server.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "settlement", "serve", "--json"],
                env=_environment(directory, database),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            try:
                assert process.stdout is not None, "it was asked for"
                said = process.stdout.readline()
                if not said.startswith(b'{"ok": true'):
                    raise click.ClickException(_failure(said, log))
                yield json.loads(said)["url"]
            finally:
                _stop(process)


def _environment(directory: Path, database: str | None) -> dict[str, str]:
    """The caller's environment without the caller's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SETTLEMENT_")}
    return {
        **kept,
        "SETTLEMENT_PORT": "0",
        "SETTLEMENT_DATABASE": database or f"sqlite:///{directory / 'settlement.db'}",
        "SETTLEMENT_SIGNING_KEY_FILE": str(directory / "keys" / "log_signing.key"),
        "SETTLEMENT_CHECKPOINT_FILE": str(directory / "checkpoint.json"),
        "SETTLEMENT_RAIL_DIR": str(directory / "rail"),
    }


def _failure(said: bytes, log: Path) -> str:
    try:
        return f"The server did not start: {json.loads(said)['detail']}"
    except (ValueError, KeyError):
        lines = log.read_text("utf-8", "replace").splitlines()
        return f"The server did not start: {lines[-1] if lines else 'it said nothing'}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


class Teller:
    """Tells the story to a person; silent when a machine asked."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._console = console()
        self._pauses = self._console.is_terminal and not silent
        self._scenes = 0
        self._names: dict[str, str] = {}

    def call_it(self, identifier: str, name: str) -> None:
        """Show a short name in tables instead of a long id."""
        self._names[identifier] = name

    def say(self, text: str) -> None:
        """A sentence."""
        if not self._silent:
            self._console.print(f"[dim]{escape(text)}[/]")

    def scene(self, title: str, why: str) -> None:
        """The heading of the next scene."""
        if self._silent:
            return
        if self._pauses:
            time.sleep(_PAUSE_SECONDS)
        self._scenes += 1
        self._console.print(f"\n[bold cyan]{self._scenes}. {title}[/]  [dim]{why}[/]")

    def fact(self, name: str, value: object) -> None:
        """One line: a name and a value."""
        if not self._silent:
            self._console.print(f"   {name:16} {escape(str(value))}", soft_wrap=True)

    def facts(self, answer: dict[str, Any], *names: str) -> None:
        """Members of an answer, a line each."""
        for name in names:
            self.fact(name, answer.get(name))

    def call(self, answer: dict[str, Any], *names: str) -> None:
        """One of two equal calls: a line with its members, marked when it is a replay."""
        if self._silent:
            return
        mark = "[yellow]replay  [/]" if answer.get("_idempotent") else "[green]original[/]"
        members = "  ".join(f"{name} {escape(str(answer.get(name)))}" for name in names)
        self._console.print(f"   {mark}  {members}", soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
        """Rows, some columns of them."""
        if self._silent:
            return
        table = Table(*columns)
        for row in rows:
            table.add_row(*(escape(self._short(str(row.get(name, "")))) for name in columns))
        self._console.print(table)

    def _short(self, text: str) -> str:
        for identifier, name in self._names.items():
            text = text.replace(identifier, name)
        return text

    def report(self, report: BundleReport) -> None:
        """The steps of the offline check."""
        show_report(report)

    def last_line(self, text: str) -> None:
        """How it ended."""
        self._console.print(text)
