"""A process of its own that spends mandates, for races: started, told to go, listened to.

As a program: takes a database URL and JSON lines, each a spend or a revoke; prints "ready", waits
for a line, runs them together on an engine of its own and prints one JSON line per answer.
Does not: decide who may spend; the operations do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from settlement.core.operations import AutoGo, RevokeMandate
from settlement.core.principal import Principal, PrincipalKind
from tests.support.note_process import NoteProcess
from tests.support.notes import opened, running

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]


def operation(call: dict[str, Any]) -> AutoGo | RevokeMandate:
    """The operation of one call: {"by", "mandate"} revokes, with a deal and its quote it spends."""
    by = Principal(kind=PrincipalKind.AGENT, agent_id=call["by"])
    mandate_id = call["mandate"]
    if "deal_id" not in call:
        return RevokeMandate(principal=by, mandate_id=mandate_id)
    return AutoGo(
        principal=by,
        deal_id=call["deal_id"],
        quote_id=call["quote_id"],
        mandate_id=mandate_id,
        candidates=(mandate_id,),
    )


def start_spends(url: str, calls: Sequence[dict[str, Any]]) -> NoteProcess:
    """Start a process and wait until it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.spend_process", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(list(calls)) + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n"
    return NoteProcess(process)


def _main(url: str) -> None:
    ops = [operation(call) for call in json.loads(sys.stdin.readline())]
    # Small batches, so that the processes' commits interleave.
    with opened(url) as db, running(db, batch_limit=3) as engine:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        futures = [engine.submit(op) for op in ops]
        for future in futures:
            answer = future.result(60)
            code = answer.error.code if answer.error is not None else None
            sys.stdout.write(json.dumps({"code": code, "result": answer.result}) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1])
