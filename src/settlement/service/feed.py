"""The econ feed's hours: each released once, an hour after it ended at the earliest, and kept.

For: the periodic job that releases what is due, and the routes, which read what was released.
Guarantees: hours are disjoint and a release is never computed again, so what is settled late, or
undone, changes no figure already given out; the guards of `core/feed.py` are checked at each
release, whatever the settings said. Reading costs the same however long the history is.
Does not: compute anything on a request.

Spec §14. Change colour: red (what is released cannot be taken back).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from settlement.core.clock import SECOND_US, parse_time, time_text
from settlement.core.feed import K_ANONYMITY_THRESHOLD, ROUNDING_PRECISION, check_guards, release
from settlement.core.money import Asset
from settlement.store import feed as rows

if TYPE_CHECKING:
    from settlement.service.job_runner import Run
    from settlement.store.database import Database, Tx

logger = logging.getLogger(__name__)

#: The periodic job that looks for hours to release, and how often it does.
FEED_RELEASE: Final = "feed_release"
FEED_RELEASE_SECONDS: Final = 60
EPOCH_US: Final = 3600 * SECOND_US
#: A week of hours, which the premium feed shows.
PREMIUM_EPOCHS: Final = 168
#: Hours caught up in one step, after a process was down.
_STEP_EPOCHS: Final = 24


class Feed:
    """Releases what is due. Any number of processes may run one; the first to store an hour wins.

    Raises ConfigError for a delay below an hour.
    """

    def __init__(self, db: Database, *, asset: str, delay_seconds: int) -> None:
        check_guards(K_ANONYMITY_THRESHOLD, ROUNDING_PRECISION, delay_seconds)
        self._db = db
        self._asset = asset
        self._delay_seconds = delay_seconds

    def handle(self, run: Run) -> dict[str, int]:
        """The periodic job: one step."""
        del run
        return {"released": self.step()}

    def step(self) -> int:
        """Release the hours that are due, oldest first; how many."""
        due = self._db.read(self._due_in)
        # One transaction an hour: each is complete on its own, and a long absence holds no lock.
        return sum(self._release(epoch_us) for epoch_us in due)

    def _release(self, epoch_us: int) -> int:
        return self._db.transaction(lambda tx: self._release_in(tx, epoch_us))

    def _due_in(self, tx: Tx) -> list[int]:
        """Starts of the hours whose delay is over and which nobody has released."""
        last = self._last_over_us(tx.now_us)
        released = rows.last_epoch(tx)
        if released is not None:
            first = parse_time(released) + EPOCH_US
        else:
            settled = rows.first_settled_us(tx)
            first = last if settled is None else min(last, settled - settled % EPOCH_US)
        return list(range(max(first, 0), last + 1, EPOCH_US))[:_STEP_EPOCHS]

    def _last_over_us(self, now_us: int) -> int:
        """Start of the latest hour that ended the delay or longer ago."""
        over = now_us - self._delay_seconds * SECOND_US
        return over - over % EPOCH_US - EPOCH_US

    def _release_in(self, tx: Tx, epoch_us: int) -> int:
        # The process that looked may have waited since; the clock of the transaction decides.
        if epoch_us > self._last_over_us(tx.now_us):
            return 0
        facts = rows.facts_between(tx, self._asset, epoch_us, epoch_us + EPOCH_US)
        found = release(
            facts,
            Asset.parse(self._asset),
            k=K_ANONYMITY_THRESHOLD,
            rounding=ROUNDING_PRECISION,
            delay_seconds=self._delay_seconds,
        )
        kept = rows.keep_release(tx, epoch_us, found.public, found.premium)
        logger.debug("hour %s released: %s", time_text(epoch_us), kept)
        return int(kept)


def get_delayed_snapshot(db: Database, *, asset: str, delay_seconds: int) -> dict[str, Any]:
    """The public feed: the last hour released; before the first, no figures."""
    found = db.read(lambda tx: rows.last_releases(tx, 1))
    if found:
        return {"feed_type": "public", **_head(found[0]), **found[0]["public"]}
    return {"feed_type": "public", **_nothing_yet(asset, delay_seconds)}


def premium_snapshot(db: Database, *, asset: str, delay_seconds: int) -> dict[str, Any]:
    """The premium feed: the last hour in full, and the week's releases, newest first."""
    found = db.read(lambda tx: rows.last_releases(tx, PREMIUM_EPOCHS))
    releases = [{**_head(row), **row["premium"]} for row in found]
    last = releases[0] if releases else _nothing_yet(asset, delay_seconds)
    return {"feed_type": "premium", **last, "releases": releases}


def _head(row: dict[str, Any]) -> dict[str, Any]:
    ended = time_text(parse_time(row["epoch"]) + EPOCH_US)
    return {"epoch": row["epoch"], "as_of": ended, "released_at": row["released_at"]}


def _nothing_yet(asset: str, delay_seconds: int) -> dict[str, Any]:
    """What is said before the first hour was released."""
    empty = release(
        (),
        Asset.parse(asset),
        k=K_ANONYMITY_THRESHOLD,
        rounding=ROUNDING_PRECISION,
        delay_seconds=delay_seconds,
    )
    return {"epoch": None, "as_of": None, "released_at": None, **empty.public, "totals": None}
