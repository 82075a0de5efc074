"""A process of its own that asks for refunds of one deal, each under a key of its own.

As a program: takes directory, database URL, deal, seller, prefix, count, amount; prints the codes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from settlement.core.operations import Refund
from settlement.core.principal import Principal, PrincipalKind
from tests.support.house import house

ROOT = Path(__file__).parents[2]


def start_refunds(directory: Path, url: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a process that asks; its codes are one JSON line."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.refund_process", str(directory), url, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )


def _main(directory: str, url: str, *arguments: str) -> None:
    deal_id, seller, prefix, count, amount = arguments
    with house(Path(directory), url) as services:
        services.engine.start()

        def ask(n: int) -> str:
            operation = Refund(
                principal=Principal(kind=PrincipalKind.AGENT, agent_id=seller),
                sent_key=f"{prefix}{n}",
                deal_id=deal_id,
                amount_minor=int(amount),
            )
            answer = services.engine.execute(operation)
            return answer.error.code if answer.error is not None else "done"

        with ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(ask, range(int(count))))
    sys.stdout.write(json.dumps(codes) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
