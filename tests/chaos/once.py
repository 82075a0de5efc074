"""Many identical calls at once from four processes, against two servers on one database.

For: the races of the readiness report. A call whose answer is lost or not final is resolved by
asking again with the same key. With `AME_BASE` set, that server is driven.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import wire
from tests.support.callers import read

if TYPE_CHECKING:
    from tests.chaos.site import Site
    from tests.support.callers import Row

CALLS = 50


def one_original(calls: list[list[Row]]) -> None:
    """One call made it happen; the others got its outcome, equal to the byte.

    The original may hear a 202 first and then, asking again, a replay. Its only answer may also be
    lost on the way; then all who asked got replays.
    """
    for rows in calls:
        assert rows[-1].get("status") == 200, rows
    answered = [[read(row) for row in rows if row.get("status") in (200, 202)] for rows in calls]
    originals = [bodies for bodies in answered if any(not b["_idempotent"] for b in bodies)]
    lost = sum("failed" in row for rows in calls for row in rows)
    assert len(originals) == 1 or (lost and not originals), f"{len(originals)} originals"
    finals = [rows[-1] for rows in calls]
    replays = [row for row in finals if read(row)["_idempotent"]]
    assert len(replays) >= len(calls) - 1
    assert len({row["body"] for row in replays}) == 1, "replays differ"
    assert all(row["headers"].get("idempotency-replayed") == "true" for row in replays)
    for row in finals:
        assert wire.without_replay_members(read(row)) == (
            wire.without_replay_members(read(replays[0]))
        )


def money_moves_here(site: Site) -> None:
    """Settling needs pretended money; a live server has none for us."""
    mode = site.get("/health").get("mode")
    if mode != "sandbox":
        pytest.skip(f"the server that AME_BASE names is in mode {mode}: no pretended money")
