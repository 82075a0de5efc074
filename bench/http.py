"""HTTP settles at 64 connections, beside the same server's no-op POST, in turns.

Guarantees: one server process, one client process, one database; the deals are prepared before the
clock runs; an answer that is not 200 fails the benchmark instead of counting.
Does not: hold for a machine with more cores, where the client would not share the server's.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from bench import deals
from bench._server import NOOP
from settlement.core.operation import Rules
from settlement.service.engine import Engine
from settlement.store.database import open_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CONNECTIONS = 64
SELLERS = 200
ROUNDS = 3
ROOT = Path(__file__).resolve().parents[1]
READY_SECONDS = 30


class LoadRefusedError(RuntimeError):
    """The server answered something that is no settle."""


def _request(port: int, path: str, api_key: str, members: dict[str, object]) -> str:
    body = json.dumps(members)
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-API-Key: {api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )


def _settles(port: int, path: str, among: Sequence[deals.Approved]) -> list[str]:
    return [
        _request(
            port,
            path,
            deal.seller.api_key,
            {"deal_id": deal.deal_id, "amount": 100, "actor_id": deal.seller.agent_id},
        )
        for deal in among
    ]


@contextmanager
def _server(url: str, directory: Path) -> Iterator[int]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environment = {
        **os.environ,
        "SETTLEMENT_DATABASE": url,
        # Every call is counted and none is refused: one machine asks for all.
        "SETTLEMENT_RATE_LIMITS": "all=1000000/100000",
        "SETTLEMENT_SIGNING_KEY_FILE": str(directory / "log.key"),
        "SETTLEMENT_CHECKPOINT_FILE": str(directory / "checkpoint.json"),
        "SETTLEMENT_RAIL_DIR": str(directory / "rail"),
    }
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench._server", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(port, process, directory / "server.log")
            yield port
        finally:
            process.terminate()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            with urlopen(f"http://127.0.0.1:{port}/ready", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise LoadRefusedError(f"the server did not start:\n{log.read_text()[-2000:]}")


def _load(port: int, requests: Sequence[str], directory: Path) -> dict[str, Any]:
    plan = directory / "plan.json"
    plan.write_text(
        json.dumps({"port": port, "connections": CONNECTIONS, "requests": list(requests)})
    )
    said = subprocess.run(
        [sys.executable, "-m", "bench._load", str(plan)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if said.returncode:
        raise LoadRefusedError(said.stderr[-2000:])
    answer: dict[str, Any] = json.loads(said.stdout)
    if set(answer["statuses"]) != {"200"}:
        raise LoadRefusedError(f"not every answer was 200: {answer['statuses']}")
    return answer


def measure(
    url: str, directory: Path, *, settles: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """No-ops, funded settles (case 1) and charged settles (case 3), `settles` of each a round."""
    db = open_database(url)
    db.migrate()
    engine = Engine(db, Rules(), entropy=lambda: secrets.token_bytes(16))
    engine.start()
    say(f"{db.kind}: preparing {settles * ROUNDS * 2} deals for HTTP")
    people = deals.sellers(engine, SELLERS)
    funded = [deals.approved(engine, people, settles, funded=True) for _ in range(ROUNDS)]
    charged = [deals.approved(engine, people, settles // 4, funded=False) for _ in range(ROUNDS)]
    engine.close()
    kind = db.kind
    db.close()
    runs: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = []
    with _server(url, directory) as port:
        for n in range(ROUNDS):
            say(f"{kind}: measuring HTTP round {n + 1} of {ROUNDS}")
            runs.append(
                (
                    _load(port, _settles(port, NOOP, funded[n]), directory),
                    _load(port, _settles(port, "/protocol/settle", funded[n]), directory),
                    _load(port, _settles(port, "/protocol/settle", charged[n]), directory),
                )
            )
    ratios = [settle["per_second"] * 100 // nothing["per_second"] for nothing, settle, _ in runs]
    middle = sorted(runs, key=lambda run: run[1]["per_second"])[ROUNDS // 2]
    return {
        "database": kind,
        "connections": CONNECTIONS,
        "noop_per_second": int(median(run[0]["per_second"] for run in runs)),
        "settle_per_second": int(median(run[1]["per_second"] for run in runs)),
        "settle_p50_us": middle[1]["p50_us"],
        "settle_p99_us": middle[1]["p99_us"],
        "charged_settle_per_second": int(median(run[2]["per_second"] for run in runs)),
        "ratio_percent": int(median(ratios)),
    }
