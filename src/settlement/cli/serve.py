"""`settlement serve` and `settlement worker`: the long-running processes.

Guarantees: the address is taken before anything else starts, so a port in use is one sentence;
SIGTERM and SIGINT finish what was taken and hand back the rest; with --workers N all server
processes share the port, and none outlives the one that started them, however it ends.
Does not: restart what fails; a supervisor does.
Change colour: green.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import rich_click as click
from rich.panel import Panel

from settlement.cli import logs
from settlement.cli.output import (
    EXIT_NO,
    EXIT_OK,
    REFUSALS,
    console,
    database_option,
    emit,
    json_option,
    opened,
    settings_from_environment,
)
from settlement.config import SIMULATED, ConfigError, with_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from settlement.config import Settings
    from settlement.edge.metrics_page import MetricsPage
    from settlement.wiring import Services

#: Nothing waits longer than 5 s for an answer, so this is enough for every request to finish.
GRACEFUL_SECONDS: Final = 10
logger = logging.getLogger(__name__)

_BACKLOG: Final = 2048
_READY: Final = b"r"

_migrate_option = click.option(
    "--migrate/--no-migrate",
    "may_migrate",
    default=True,
    show_default=True,
    help="Apply missing migrations first, or refuse to start without them.",
)


@click.command()
@click.option("--host", metavar="ADDRESS", help="Instead of SETTLEMENT_HOST.")
@click.option("--port", metavar="PORT", help="Instead of SETTLEMENT_PORT; 0 takes a free one.")
@database_option
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Server processes. More processes make smaller batches: 1 is best up to a few cores.",
)
@click.option("--no-worker", is_flag=True, help="Serve only; `settlement worker` runs the loops.")
@_migrate_option
@json_option
def serve(  # noqa: PLR0913  # one parameter per option
    *,
    host: str | None,
    port: str | None,
    database: str | None,
    workers: int,
    no_worker: bool,
    may_migrate: bool,
    as_json: bool,
) -> int:
    """Start the HTTP server, with the worker loops beside it."""
    settings = settings_from_environment(host=host, port=port, database=database)
    logs.set_up(settings)
    listener = _take_port(settings)
    settings = with_port(settings, listener.getsockname()[1])
    settings = replace(settings, rate_processes=settings.rate_processes or workers)
    _prepare(settings, may_migrate=may_migrate)
    announce = _Announcement(settings, as_json=as_json)
    if workers == 1:
        return _serve(settings, listener, with_loops=not no_worker, ready=announce)
    return _Family(settings, listener, with_loops=not no_worker).run(workers, announce)


@click.command()
@database_option
@_migrate_option
@json_option
def worker(*, database: str | None, may_migrate: bool, as_json: bool) -> int:
    """Run only the loops: rails, outbox, sequencer. Any number may run, on any machine."""
    settings = settings_from_environment(database=database)
    logs.set_up(settings)
    _prepare(settings, may_migrate=may_migrate)
    from settlement.wiring import build

    stopped = threading.Event()
    _on_stop(stopped.set)
    services = build(settings)
    page = None
    try:
        services.start(with_loops=True)
        if services.behind is not None:
            raise services.behind
        page = _worker_page(settings, services)
        if as_json:
            emit({"ok": True, "pid": os.getpid()})
        else:
            console().print("The loops run. Stop them with Ctrl-C.")
        stopped.wait()
    finally:
        if page is not None:
            page.close()
        services.close()
    return EXIT_OK


def _worker_page(settings: Settings, services: Services) -> MetricsPage | None:
    """The worker's own /metrics, when a port is set for it."""
    from settlement.edge.metrics_page import MetricsPage

    port = settings.worker_metrics_port
    if not port:
        return None
    try:
        return MetricsPage(services, settings.host, port)
    except OSError as error:
        raise ConfigError(
            "SETTLEMENT_WORKER_METRICS_PORT",
            f"{settings.host}:{port}",
            f"it cannot be listened on ({error.strerror})",
            "Give each worker of a machine a port of its own, or none.",
        ) from error


def _prepare(settings: Settings, *, may_migrate: bool) -> None:
    with opened(settings, migrated=not may_migrate) as db:
        if may_migrate:
            db.migrate()


def _take_port(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        # Listening now keeps a second server from binding too; nobody is answered before the start.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            "SETTLEMENT_PORT",
            f"{settings.host}:{settings.port}",
            f"it cannot be listened on ({error.strerror})",
            "Stop what listens there, or choose another with --port or SETTLEMENT_PORT.",
        ) from error
    listener.set_inheritable(True)
    return listener


def _on_stop(stop: Callable[[], None]) -> None:
    def handle(_number: int, _frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _serve(
    settings: Settings, listener: socket.socket, *, with_loops: bool, ready: Callable[[], None]
) -> int:
    """Serve until a signal; then answer what was taken, and close in order."""
    import uvicorn

    from settlement.edge.http.app import create_app
    from settlement.wiring import build

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    services = build(settings)
    try:
        services.start(with_loops=with_loops)
        server = Server(
            uvicorn.Config(
                create_app(services),
                loop="uvloop",
                http="httptools",
                log_config=None,
                access_log=False,
                server_header=False,
                # Off unless configured: else anybody on loopback could claim any address.
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                timeout_graceful_shutdown=GRACEFUL_SECONDS,
            )
        )
        # The server takes the signals while it runs and raises them again when it has stopped:
        # then they find these handlers, and the services are closed in order.
        _on_stop(lambda: setattr(server, "should_exit", True))
        server.run(sockets=[listener])
    finally:
        services.close()
    return EXIT_OK if server.started else EXIT_NO


class _Announcement:
    """Says once where the server is."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self._settings = settings
        self._as_json = as_json

    def __call__(self) -> None:
        url = self._settings.base_url
        addresses = {"url": url, "docs": f"{url}/docs", "health": f"{url}/health"}
        if self._as_json:
            mode, database = self._settings.mode.value, _kind(self._settings)
            members = {"ok": True, **addresses, "mode": mode, "database": database}
            print(json.dumps({**members, "pid": os.getpid()}), flush=True)  # noqa: T201  # the answer
            return
        lines = [f"[bold]{name:7}[/] {address}" for name, address in addresses.items()]
        lines.append(f"[bold]mode   [/] {self._settings.mode.value}, {_kind(self._settings)}")
        if not self._settings.sandbox and self._settings.rail == SIMULATED:
            lines.append("[bold red]rail   [/] simulated: it books payments that nobody makes")
        out = console()
        if out.is_terminal:
            out.print(Panel("\n".join(lines), title="settlement", expand=False))
            out.print("[dim]Stop it with Ctrl-C.[/]")
        else:
            out.print("\n".join(lines))


def _kind(settings: Settings) -> str:
    path = settings.sqlite_path
    return f"SQLite {path}" if path is not None else "PostgreSQL"


class _Family:
    """Server processes that share one listening socket and end together."""

    def __init__(self, settings: Settings, listener: socket.socket, *, with_loops: bool) -> None:
        self._settings = settings
        self._listener = listener
        self._with_loops = with_loops
        self._children: set[int] = set()

    def run(self, count: int, announce: Callable[[], None]) -> int:
        """Start them, wait, and stop the rest when one ends or a signal comes."""
        alive_read, alive_write = os.pipe()
        ready_read, ready_write = os.pipe()
        _on_stop(self._stop)
        for _ in range(count):
            pid = os.fork()
            if pid == 0:
                os.close(alive_write)
                os.close(ready_read)
                os._exit(self._child(alive_read, ready_write))
            self._children.add(pid)
        os.close(alive_read)
        os.close(ready_write)
        if _read_exactly(ready_read, count) < count:
            self._wait()
            raise click.ClickException("A server process did not start; its log says why.")
        announce()
        return self._wait()

    def _child(self, alive: int, ready: int) -> int:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler stops our siblings
        threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()

        def tell_parent() -> None:
            os.write(ready, _READY)

        try:
            return _serve(
                self._settings, self._listener, with_loops=self._with_loops, ready=tell_parent
            )
        except REFUSALS as error:
            # The one answer on standard output is the parent's.
            logger.critical("%s", error)
            return EXIT_NO
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    def _stop(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGTERM)

    def _wait(self) -> int:
        worst = EXIT_OK
        while self._children:
            pid, status = os.wait()
            self._children.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            if code != 0:
                worst = EXIT_NO
            # One that ends on its own takes the others along: half a family looks like health.
            self._stop()
        return worst


def _read_exactly(handle: int, count: int) -> int:
    got = 0
    while got < count:
        part = os.read(handle, count - got)
        if not part:
            break  # a child ended before it was ready
        got += len(part)
    return got


def _end_with_parent(alive: int) -> None:
    """Nothing is ever written to this pipe; it ends when the parent does, even by SIGKILL."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)
