"""The long-running commands: they start, say where they are, answer, and stop when told."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.cli.running import COMMAND, environment, run
from tests.support.server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_plain = build_opener(ProxyHandler({}))
STOP_SECONDS = 30


@dataclass(slots=True)
class Running:
    """A process that has said where it is."""

    process: subprocess.Popen[str]
    said: dict[str, Any]

    def get(self, path: str) -> dict[str, Any]:
        with _plain.open(self.said["url"] + path, timeout=10) as answer:
            document: dict[str, Any] = json.loads(answer.read())
        return document

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def started(directory: Path, *arguments: str, **settings: str) -> Iterator[Running]:
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--json"],
        cwd=directory,
        env=environment(directory, SETTLEMENT_PORT="0", **settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = _pipe(process.stdout).readline()
        if not line:
            process.wait(STOP_SECONDS)
            pytest.fail(_pipe(process.stderr).read())
        yield Running(process, json.loads(line))
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            _pipe(pipe).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def test_a_server_answers_stops_on_sigterm_and_starts_again(
    tmp_path: Path, database_url: str
) -> None:
    settings = {"SETTLEMENT_DATABASE": database_url}
    with started(tmp_path, "serve", **settings) as server:
        assert server.said["ok"] is True
        health = server.get("/health")
        assert (health["ok"], health["mode"]) == (True, "sandbox")
        key = server.get("/protocol/merkle/public-key")["public_key_base64"]
        assert server.stop() == 0
        assert _pipe(server.process.stdout).read() == "", "one JSON object and nothing else"
        assert "Traceback" not in _pipe(server.process.stderr).read()
    with started(tmp_path, "serve", **settings) as server:
        assert server.get("/ready")["ok"] is True
        assert server.get("/protocol/merkle/public-key")["public_key_base64"] == key
        assert server.stop(signal.SIGINT) == 0


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with started(tmp_path, "serve") as server:
        port = server.said["url"].rsplit(":", 1)[1]
        ran = run(tmp_path, "serve", "--json", "--port", port)
    assert ran.code == 2
    assert "cannot be listened on" in ran.json()["detail"]


def test_a_live_server_without_its_key_does_not_start(tmp_path: Path) -> None:
    ran = run(tmp_path, "serve", "--port", "0", SETTLEMENT_MODE="live")
    assert ran.code == 2
    assert "SETTLEMENT_SIGNING_KEY_FILE" in ran.err
    assert not (tmp_path / "var" / "keys").exists()


def test_a_server_told_not_to_migrate_says_what_to_run(tmp_path: Path) -> None:
    ran = run(tmp_path, "serve", "--port", "0", "--no-migrate", "--json")
    assert ran.code == 1
    assert ran.json()["error"] == "migration_refused"
    assert "settlement migrate" in ran.json()["detail"]


def test_a_worker_runs_until_it_is_told_to_stop(tmp_path: Path, database_url: str) -> None:
    with started(tmp_path, "worker", SETTLEMENT_DATABASE=database_url) as worker:
        assert worker.said["ok"] is True
        assert worker.stop() == 0


def test_a_worker_shows_its_loops_where_a_port_is_set(tmp_path: Path) -> None:
    """Broken build: the loops run in processes nobody can look into."""
    port = free_port()
    with started(tmp_path, "worker", SETTLEMENT_WORKER_METRICS_PORT=str(port)) as worker:
        with _plain.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        assert 'settlement_worker_loop_alive{loop="effects"} 1.0' in page
        assert "settlement_database_up 1.0" in page
        with pytest.raises(HTTPError, match="404"):
            _plain.open(f"http://127.0.0.1:{port}/", timeout=10)
        assert worker.stop() == 0


def _ends(handle: int) -> bool:
    """Wait for the end of a process that is not our child, by its descriptor."""
    watched = select.poll()  # select() knows no descriptor above 1023
    watched.register(handle, select.POLLIN)
    return bool(watched.poll(STOP_SECONDS * 1000))


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        return [int(part) for part in children.read().split()]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="follows processes as Linux does")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
def test_server_processes_share_the_port_and_end_with_their_parent(
    tmp_path: Path, number: signal.Signals
) -> None:
    with started(tmp_path, "serve", "--workers", "2") as server:
        children = _children(server.process.pid)
        assert len(children) == 2
        assert server.get("/health")["ok"] is True
        handles = [os.pidfd_open(pid) for pid in children]
        code = server.stop(number)
        assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL)
        assert all(_ends(handle) for handle in handles)
        for handle in handles:
            os.close(handle)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="follows processes as Linux does")
def test_one_server_process_that_dies_takes_the_others_along(tmp_path: Path) -> None:
    with started(tmp_path, "serve", "--workers", "2") as server:
        os.kill(_children(server.process.pid)[0], signal.SIGKILL)
        assert server.process.wait(STOP_SECONDS) == 1


def promise(directory: Path, tree_size: int) -> None:
    """A checkpoint file that names a head this database never had."""
    checkpoint = directory / "var" / "checkpoint.json"
    checkpoint.parent.mkdir(exist_ok=True)
    head = {
        "log_id": "aigentsy_settlement_log_v1",
        "tree_size": tree_size,
        "root_hash": "ab" * 32,
        "timestamp": "2026-01-01T00:00:00.000000Z",
        "key_id": "aigentsy_log_signer_v1",
        "algorithm": "Ed25519",
        "signature": "A" * 86 + "==",
    }
    checkpoint.write_text(json.dumps(head))


def test_a_database_behind_its_checkpoint_is_only_read(tmp_path: Path) -> None:
    promise(tmp_path, 99)
    with started(tmp_path, "serve") as server:
        refused = json.dumps({"name": "late", "capabilities": []}).encode()
        with pytest.raises(OSError, match="503"):
            _plain.open(server.said["url"] + "/protocol/register", refused, timeout=10)
        assert server.get("/health")["status"] == "read_only"
    ran = run(tmp_path, "worker", "--json")
    assert (ran.code, ran.json()["error"]) == (9, "behind_checkpoint")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_log_that_contradicts_its_checkpoint_does_not_start(tmp_path: Path, workers: str) -> None:
    with started(tmp_path, "serve") as server:
        assert server.get("/ready")["ok"] is True
        body = json.dumps({"agent_id": "somebody", "description": "one"}).encode()
        with _plain.open(server.said["url"] + "/protocol/stamp", body, timeout=10) as answer:
            deal_id = json.loads(answer.read())["deal_id"]
        # An export waits until a head covers the event.
        assert server.get(f"/protocol/proofs/{deal_id}/export")["ok"] is True
        assert server.stop() == 0
    promise(tmp_path, 1)
    ran = run(tmp_path, "serve", "--port", "0", "--workers", workers, "--json")
    assert ran.code == (10 if workers == "1" else 1), ran
    assert ran.json()["ok"] is False
    assert "does not extend the signed tree head" in ran.json()["detail"] + ran.err
