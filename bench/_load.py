"""The client side of the HTTP figures: N keep-alive connections in a process of its own.

Guarantees: each connection sends its next request when the last one is answered; every status is
counted and every latency kept, so a refusal cannot pass for speed. Only loopback is asked.
Does not: parse more of HTTP than a status line and Content-Length: the client must cost little on
a machine it shares with the server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import cast

import uvloop


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._sent_ns = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def go_on(self) -> None:
        """Send the next request, or be done."""
        assert self._transport is not None, "connected"
        if not self._load.requests:
            self._transport.close()
            self._load.leave()
            return
        self._sent_ns = time.perf_counter_ns()
        self._transport.write(self._load.requests.popleft())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        at = head.lower().index(b"content-length:") + 15
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._load.note(head[9:12], time.perf_counter_ns() - self._sent_ns)
        self.go_on()


class _Load:
    def __init__(self, requests: list[bytes]) -> None:
        self.requests = deque(requests)
        self.statuses: Counter[str] = Counter()
        self.latencies: list[int] = []
        self.done = asyncio.Event()
        self._here = 0

    def note(self, status: bytes, nanoseconds: int) -> None:
        self.statuses[status.decode()] += 1
        self.latencies.append(nanoseconds)

    def leave(self) -> None:
        self._here -= 1
        if not self._here:
            self.done.set()

    async def run(self, port: int, connections: int) -> int:
        loop = asyncio.get_running_loop()
        made = [
            await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port)
            for _ in range(connections)
        ]
        self._here = connections
        started = time.perf_counter_ns()
        for _, connection in made:
            connection.go_on()
        await self.done.wait()
        return time.perf_counter_ns() - started


async def _main(path: Path) -> None:
    plan = json.loads(path.read_text())
    load = _Load([text.encode() for text in plan["requests"]])
    elapsed_ns = await load.run(plan["port"], plan["connections"])
    load.latencies.sort()
    count = len(load.latencies)
    answer = {
        "count": count,
        "per_second": count * 1_000_000_000 // elapsed_ns,
        "p50_us": load.latencies[count // 2] // 1000,
        "p99_us": load.latencies[count * 99 // 100] // 1000,
        "statuses": dict(load.statuses),
    }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    uvloop.run(_main(Path(sys.argv[1])))
