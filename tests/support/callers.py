"""A program that sends one HTTP call many times at once: `python -m tests.support.callers PLAN`.

The plan (JSON): bases, path, body, headers, calls, seconds. Each call is a thread with its own
connection; all wait at one barrier inside the process, and the process waits for a line on standard
input, so that several processes start together. Standard output: one JSON list, one row per call,
of every answer it got ({"status", "body", "headers"} or {"failed"}).

A lost answer, a 202, a 409 `request_in_progress` and a 429 are resolved as the protocol says: the
same call is sent again, with the same key, until it is final or the time is up.
Does not: import anything of ours; it is a stranger to the server.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
Row = dict[str, Any]


def run_many(plans: Sequence[dict[str, Any]], seconds: float = 120) -> list[list[Row]]:
    """Run one process per plan, all calls at once; the rows of every call of every process."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.callers", json.dumps(plan)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for plan in plans
    ]
    try:
        for process in processes:
            assert _pipe(process.stdout).readline() == "ready\n"
        for process in processes:
            print("go", file=_pipe(process.stdin), flush=True)
        calls: list[list[Row]] = []
        for process in processes:
            out, _ = process.communicate(timeout=seconds)
            assert process.returncode == 0, f"a caller ended with {process.returncode}"
            calls += json.loads(out)
        return calls
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def read(row: Row) -> dict[str, Any]:
    """The JSON object of an answer."""
    body: dict[str, Any] = json.loads(row["body"])
    return body


def split_calls(total: int, processes: int) -> list[int]:
    """How many calls each process makes."""
    return [total // processes + (1 if n < total % processes else 0) for n in range(processes)]


# --- the program ---------------------------------------------------------------------------------


def send(base: str, plan: dict[str, Any]) -> Row:
    """One POST and its answer; a lost answer is a row, too."""
    where = urlsplit(base)
    if where.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            where.netloc, timeout=30
        )
    else:
        connection = http.client.HTTPConnection(where.netloc, timeout=30)
    headers = {"Content-Type": "application/json", **plan.get("headers", {})}
    try:
        connection.request("POST", plan["path"], json.dumps(plan["body"]), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        kept = {name.lower(): value for name, value in answer.getheaders()}
        return {"status": answer.status, "body": text, "headers": kept}
    except (OSError, http.client.HTTPException) as error:
        return {"failed": f"{type(error).__name__}: {error}"}
    finally:
        connection.close()


def _wait_before_asking_again(row: Row) -> float | None:
    """Seconds until the same call is worth sending again; None when its answer is final."""
    if "failed" in row:
        return 0.2
    status = row["status"]
    again = status in (202, 429, 502, 503, 504) or (
        status == 409 and json.loads(row["body"]).get("error") == "request_in_progress"
    )
    return float(row["headers"].get("retry-after", "0.2")) if again else None


def ask_until_final(plan: dict[str, Any], first: int = 0) -> list[Row]:
    """One call, repeated over the servers of the plan until its answer is final or time is up."""
    bases, deadline = plan["bases"], time.monotonic() + plan.get("seconds", 60)
    rows: list[Row] = []
    pause = threading.Event()
    while True:
        row = send(bases[(first + len(rows)) % len(bases)], plan)
        rows.append(row)
        wait = _wait_before_asking_again(row)
        if wait is None or time.monotonic() + wait > deadline:
            return rows
        pause.wait(wait)


def main() -> None:
    """Make the calls of one plan."""
    plan = json.loads(sys.argv[1])
    results: list[list[Row]] = [[] for _ in range(plan["calls"])]
    barrier = threading.Barrier(plan["calls"])

    def caller(number: int) -> None:
        barrier.wait()
        results[number] = ask_until_final(plan, number)

    threads = [threading.Thread(target=caller, args=(n,)) for n in range(plan["calls"])]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
