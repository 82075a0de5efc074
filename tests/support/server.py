"""Real server processes for tests and benchmarks: started, watched, killed, restarted, stopped.

A `Deployment` is what outlives a process: a database, a directory (signing key, checkpoint, the
simulated rail's book, logs) and settings. Any number of `Server` processes run on one deployment.

Guarantees: every process that was started is stopped when the deployment closes, whatever happened
in between; waiting is for a condition (`/ready`, an exit) and bounded; a failure carries the tail
of the server's own log. Nothing is written outside the given directory.
Does not: create or drop databases (`tests/support/postgres.py` does).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest

from settlement.edge.rails.simulated import SimulatedRail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from settlement.edge.rails.simulated import RailEntry

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "settlement")
READY_SECONDS = 30
STOP_SECONDS = 30
TICK_SECONDS = 0.03
TAIL_LINES = 60
_plain = build_opener(ProxyHandler({}))  # loopback is never asked for through a proxy


class ServerFailedError(AssertionError):
    """A server that did not do what a server does, with the end of its log."""


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a file that may not exist."""
    if not path.exists():
        return "(no log)"
    return "\n".join(path.read_text("utf-8", "replace").splitlines()[-lines:])


class Server:
    """One `settlement serve` process. Its port stays the same over restarts."""

    def __init__(self, deployment: Deployment, name: str, extra: Mapping[str, str]) -> None:
        self.deployment = deployment
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = deployment.directory / f"{name}.log"
        self._extra = dict(extra)
        self._process: subprocess.Popen[bytes] | None = None

    # --- life ---------------------------------------------------------------------------------

    def start(self, *, wait: bool = True) -> Server:
        """Start the process, and wait until it is ready to serve."""
        assert not self.running, f"{self.name} runs already"
        environment = self.deployment.environment(SETTLEMENT_PORT=str(self.port), **self._extra)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "serve"],
                cwd=self.deployment.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the run, which then stops its servers
            )
        if wait:
            self.wait_until_ready()
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> None:
        """Return when /ready answers 200; raise when the process ends or time is up."""
        assert self._process is not None
        deadline = time.monotonic() + seconds
        answer = "no answer"
        while time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):  # the tick: ends early when the process does
                code = self._process.wait(TICK_SECONDS)
                raise ServerFailedError(self.story(f"ended with exit code {code} before it served"))
            status, answer = self._ready()
            if status == 200:
                return
        raise ServerFailedError(self.story(f"not ready within {seconds} s: {answer}"))

    def _ready(self) -> tuple[int, str]:
        try:
            with _plain.open(f"{self.url}/ready", timeout=5) as answer:
                return answer.status, answer.read().decode("utf-8", "replace")
        except URLError as error:  # also HTTPError: 503 while it is not ready
            status = getattr(error, "code", 0)
            said = error.read().decode("utf-8", "replace") if hasattr(error, "read") else ""
            return status, said or str(error)
        except OSError as error:
            return 0, str(error)

    def signal(self, number: int) -> None:
        """Send a signal to this process, by its pid."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, and wait until the process is gone."""
        if self._process is not None:
            if self.running:
                self.signal(signal.SIGKILL)
            self._process.wait()

    def ended(self, seconds: float = STOP_SECONDS) -> int | None:
        """Wait for a process that dies by itself; its exit code, None if it lives on."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM, as an operator would; its exit code. One that stays is killed and told of."""
        if self._process is None:
            return 0
        if self.running:
            self.signal(signal.SIGTERM)
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailedError(self.story(f"still there {seconds} s after SIGTERM")) from None

    def restart(self) -> Server:
        """Stop and start again, on the same port."""
        self.stop()
        return self.start()

    # --- looking in ---------------------------------------------------------------------------

    def story(self, what: str) -> str:
        """A sentence and the end of the log."""
        return f"{self.name} ({self.url}): {what}\n--- {self.log.name}\n{tail(self.log)}"

    def get(self, path: str) -> Any:
        """The JSON of a public page."""
        with _plain.open(self.url + path, timeout=10) as answer:
            return json.loads(answer.read())


class Deployment:
    """A database, a directory and settings; starts servers and commands on them."""

    def __init__(self, directory: Path, database: str, **settings: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.database = database
        self.settings = settings
        self.servers: list[Server] = []

    def environment(self, **extra: str) -> dict[str, str]:
        """Everything a process of this deployment sees: nothing of the caller's own settings."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SETTLEMENT_", "AME_", "PYTEST_"))
        }
        return {
            **inherited,
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self.directory),
            "NO_PROXY": "127.0.0.1,localhost",
            "SETTLEMENT_DATABASE": self.database,
            "SETTLEMENT_HOST": "127.0.0.1",
            "SETTLEMENT_SIGNING_KEY_FILE": str(self.directory / "keys" / "log_signing.key"),
            "SETTLEMENT_CHECKPOINT_FILE": str(self.directory / "checkpoint.json"),
            "SETTLEMENT_RAIL_DIR": str(self.rail_directory),
            "SETTLEMENT_JOB_LEASE_SECONDS": "5",
            # Counted like every call, but met by none, unless the settings say so.
            "SETTLEMENT_RATE_LIMITS": "all=1000000/100000",
            **self.settings,
            **extra,
        }

    @property
    def rail_directory(self) -> Path:
        """Where the simulated rail keeps its own book."""
        return self.directory / "rail"

    def rail_entries(self) -> list[RailEntry]:
        """The simulated rail's own book: every charge and payout it made."""
        rail = SimulatedRail(self.rail_directory)
        try:
            return rail.entries()
        finally:
            rail.close()

    def server(self, **extra: str) -> Server:
        """Start one more server on the deployment."""
        server = Server(self, f"server-{len(self.servers) + 1}", extra)
        self.servers.append(server)
        return server.start()

    def command(self, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a `settlement` command to its end; the exit code is the caller's to judge."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def assert_audit_is_clean(self) -> None:
        """Run `settlement audit` over the whole database: exit code 0, no bad row."""
        done = self.command("audit", "--json")
        assert done.returncode == 0, f"settlement audit: {done.stdout}\n{done.stderr}"

    def close(self) -> None:
        """End every process of the deployment: SIGTERM for all, then wait for each."""
        failures = []
        for server in self.servers:
            if server.running:
                server.signal(signal.SIGTERM)
        for server in self.servers:
            try:
                server.stop()
            except ServerFailedError as failure:
                failures.append(str(failure))
        assert not failures, "\n".join(failures)


@contextmanager
def deployed(directory: Path, database: str, **settings: str) -> Iterator[Deployment]:
    """A deployment for the length of a `with` block."""
    deployment = Deployment(directory, database, **settings)
    try:
        yield deployment
    finally:
        deployment.close()


def attach_logs(item: pytest.Item, report: pytest.TestReport) -> None:
    """Give a failed test's report the tail of every server's log the test could see."""
    if not report.failed or not isinstance(item, pytest.Function):
        return
    for value in item.funcargs.values():
        deployment = value.deployment if isinstance(value, Server) else value
        if isinstance(deployment, Deployment):
            for server in deployment.servers:
                report.sections.append((f"log of {server.name}", tail(server.log)))
