"""Row 25 of the readiness report: one message of a rail, sent fifty times, is one event.

The message needs the rail's secret. With `AME_BASE` set, a caller who has it puts it into
SETTLEMENT_SIMULATED_WEBHOOK_SECRET and drives that server; without it the test has its own servers.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

import pytest

from tests.chaos.conftest import AME_BASE, on_database
from tests.chaos.once import CALLS
from tests.chaos.site import Site
from tests.support import wire
from tests.support.callers import read
from tests.support.signed import SECRET, SETTINGS, SIMULATED_PATH, charge, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.chaos
GIVEN = os.environ.get("SETTLEMENT_SIMULATED_WEBHOOK_SECRET", "") if AME_BASE else ""
TRIES = 200


@pytest.fixture(params=["AME_BASE"] if GIVEN else ["sqlite", "postgres"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Two servers on one database that know the rail's secret, or the one that AME_BASE names."""
    if GIVEN:
        yield Site(bases=[AME_BASE])
        return
    with on_database(request, request.param, tmp_path) as made:
        bases = [made.server(**SETTINGS).url for _ in range(2)]
        yield Site(bases=bases, deployment=made)


def test_one_message_sent_fifty_times_is_one_event(listening: Site) -> None:
    """Catches: looking first and inserting then, which two servers do at once; a second charge in
    the books; anything but a 200 for a repeat, which a rail would send again for days."""
    site = listening
    pack = site.pack(site.agent())
    deal = pack["deal_id"]
    site.post("/protocol/go", {n: pack[n] for n in ("deal_id", "quote_id", "scope_lock_hash")})
    news = charge(deal, f"ch_{deal[-12:]}", 9_900)
    message = signed(f"msg_{deal}", news, secret=GIVEN or SECRET)
    assert message.body == json.dumps(news).encode(), "callers send the text that was signed"
    calls = site.race(CALLS, SIMULATED_PATH, news, message.headers)
    answers = [read(rows[-1]) for rows in calls if rows[-1].get("status") == 200]
    assert len(answers) == CALLS, [rows[-1] for rows in calls]
    assert [one["_idempotent"] for one in answers].count(False) == 1
    assert len({one["event_id"] for one in answers}) == 1

    tick = threading.Event()
    for _ in range(TRIES):  # a job of the worker applies it
        timeline = site.timeline(deal)
        if "PAYMENT_AUTHORIZED" in wire.types(timeline):
            break
        tick.wait(0.1)
    assert wire.types(timeline) == ["PROOF_READY", "GO_APPROVED", "PAYMENT_AUTHORIZED"]
    wire.chain_holds(timeline["events"])
    wire.ledger_holds(timeline["ledger"])
    assert [str(sum_) for sum_ in wire.entries(timeline, "gross_in", "credit")] == ["99.00"]
    site.audit()
