"""A program that claims, holds and writes under leases: `python -m tests.support.claimants PLAN`.

The plan (JSON) names a place (a directory, or a database's URL) and what to do there. Each step is
a line on standard output (JSON), and the program goes on when it gets a line on standard input, so
a test can kill or stop it exactly there. `SETTLEMENT_FAULTS` arms fault points as usual.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from settlement.core.errors import LeaseLost
from settlement.service.claims import FileLockBackend, Lease, TTLClaimAdapter, distributed_lock
from settlement.service.leases import LeaseTable
from settlement.store.database import open_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.store.database import Database

ROOT = Path(__file__).resolve().parents[2]
WAIT_SECONDS = 60


class Place:
    """Where leases are kept, and what a holder may write there under its fence."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.db: Database | None = open_database(where) if "://" in where else None
        self.files = None if self.db else FileLockBackend(where)

    @property
    def backend(self) -> FileLockBackend | LeaseTable:
        if self.files is not None:
            return self.files
        assert self.db is not None
        return LeaseTable(self.db)

    def write(self, lease: Lease, what: str, ttl: int = 60) -> None:
        """Write a name under the lease's fence; raises LeaseLost, and then nothing is written."""
        if self.files is not None:
            with (
                self.files.guarded(lease.key, fence=lease.fence),
                (Path(self.where) / "written").open("a", encoding="utf-8") as file,
            ):
                print(what, file=file)
            return
        assert self.db is not None

        def both(tx: Any) -> None:
            # The write comes first: only the transaction takes it back when the guard refuses.
            tx.run("lease_insert", name=f"written {what}", owner="nobody", expires_us=0)
            TTLClaimAdapter(self.backend, ttl).guard(tx, lease)

        self.db.transaction(both)

    def written(self, what: str) -> bool:
        """Whether that name was written."""
        if self.db is None:
            path = Path(self.where) / "written"
            return path.exists() and what in path.read_text("utf-8").splitlines()
        name = f"written {what}"
        return self.db.read(lambda tx: tx.maybe("lease_find", name=name)) is not None

    def close(self) -> None:
        if self.db is not None:
            self.db.close()


# --- the test's side -----------------------------------------------------------------------------


class Claimant:
    """A running program."""

    def __init__(self, plan: dict[str, Any], faults: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.claimants", json.dumps(plan)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "SETTLEMENT_FAULTS": faults},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read(self) -> Any:
        """The next step's line; None when the program has ended without one."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def go_on(self) -> None:
        assert self.process.stdin is not None
        print("go", file=self.process.stdin, flush=True)

    def end(self) -> tuple[int, str]:
        """Wait for the end: exit code and what it said on standard error."""
        _, said = self.process.communicate(timeout=WAIT_SECONDS)
        return self.process.returncode, said


@contextmanager
def claimants(*plans: dict[str, Any], faults: str = "") -> Iterator[list[Claimant]]:
    """Start one program per plan; none outlives the block."""
    started: list[Claimant] = []
    try:
        started.extend(Claimant(plan, faults) for plan in plans)
        yield started
    finally:
        for claimant in started:
            claimant.process.kill()
            with suppress(ValueError):  # its pipes were closed when its end was awaited
                claimant.process.communicate()


# --- the program's side --------------------------------------------------------------------------


def say(line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def step(line: Any) -> None:
    """Say where we are, and wait to be told to go on."""
    say(line)
    if not sys.stdin.readline():
        sys.exit(3)  # the test is gone


def outcome(do: Any, *args: Any) -> str:
    try:
        do(*args)
    except LeaseLost:
        return "lost"
    return "done"


def claim_all(place: Place, plan: dict[str, Any]) -> None:
    """Claim every key, in an order of its own; the keys that were won, with their fences."""
    keys = [f"key-{n}" for n in range(plan["keys"])]
    random.Random(plan["seed"]).shuffle(keys)
    adapter = TTLClaimAdapter(place.backend, 600)
    step("ready")
    won = {}
    for key in keys:
        if place.files is not None:
            if place.files.claim_or_get(key)[0]:
                won[key] = place.files.fence_of(key)
                place.files.put(key, {"by": plan["seed"]})
        elif lease := adapter.acquire(key, f"process {plan['seed']}"):
            won[key] = lease.fence
    say(won)


def hold(place: Place, plan: dict[str, Any]) -> None:
    """Hold a lease without renewing; then write, renew and release, though much later."""
    adapter = TTLClaimAdapter(place.backend, plan["ttl"])
    lease = adapter.acquire(plan["key"], f"process {os.getpid()}")
    assert lease is not None
    step({"fence": lease.fence})
    say(
        {
            "write": outcome(place.write, lease, f"late {lease.fence}", plan["ttl"]),
            "renew": outcome(adapter.renew, lease),
            "release": outcome(adapter.release, lease),
        }
    )


def lock(place: Place, plan: dict[str, Any]) -> None:
    """Hold a lock, renewed; say whether it was told that it lost it."""
    told = threading.Event()
    ended = "alone"
    try:
        with distributed_lock(
            plan["key"], plan["ttl"], plan["wait"], backend=place.backend, on_lost=told.set
        ) as held:
            step({"fence": held.fence})
            lost = held.lost
            called = told.wait(WAIT_SECONDS if lost else 0)
            checked = outcome(held.check)
            wrote = outcome(place.write, held.lease, f"late {held.fence}", plan["ttl"])
    except LeaseLost:
        ended = "lost"
    say({"lost": lost, "on_lost": called, "check": checked, "write": wrote, "end": ended})


def claim_one(place: Place, plan: dict[str, Any]) -> None:
    """Claim one key and store its result."""
    assert place.files is not None
    won, _ = place.files.claim_or_get(plan["key"], plan["ttl"])
    step({"won": won, "fence": place.files.fence_of(plan["key"])})
    place.files.put(plan["key"], {"by": "first"})
    say("stored")


def tidy(place: Place, plan: dict[str, Any]) -> None:
    assert place.files is not None
    say(place.files.cleanup_expired())


STEPS = {"claim_all": claim_all, "hold": hold, "lock": lock, "claim_one": claim_one, "tidy": tidy}


def main(plan: dict[str, Any]) -> None:
    place = Place(plan["where"])
    STEPS[plan["do"]](place, plan)
    place.close()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
