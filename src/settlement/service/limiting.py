"""Counting calls in the database: those of a batch with it, others in a transaction of their own.

For: the engine's batch; `EdgeRequest`, for calls that no operation makes; the job that forgets.
Guarantees: a call is counted in the transaction that makes it, so what is rolled back was never
counted; callers' rows are locked in key order after deals and effects and before accounts. When
they cannot be read, no call is made: LimitsUnreadable.
Does not: know figures. They come with the charge.

Spec §1.6, §12.3. Change colour: red.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from settlement.core.errors import LimitsUnreadable
from settlement.core.limit_rows import LimitRow
from settlement.core.limits import Standing, refused, standing, take
from settlement.core.writeset import WriteSet
from settlement.store.database import LostRow, StatementFailed
from settlement.store.limits import START, LimitKey, lock_limits, prune_limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from settlement.core.limits import Charge
    from settlement.service.job_runner import Run
    from settlement.store.database import Database, Tx

FORGET: Final = "forget_limits"
FORGET_SECONDS: Final = 300
_PAGE: Final = 1000
#: A million rows in a run: a few seconds, in steps of a few milliseconds.
_PAGES_MAX: Final = 1000
_TRIES: Final = 5


class Counts:
    """The rows of one transaction: locked, taken from in memory, written once."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._found: dict[LimitKey, LimitRow] = {}
        self._tats: dict[LimitKey, int] = {}

    def load(self, keys: Iterable[LimitKey]) -> None:
        """Lock and load, in one statement; raises LimitsUnreadable."""
        wanted = set(keys)
        if not wanted:
            return
        try:
            self._found = lock_limits(self._tx, list(wanted))
        except StatementFailed as error:
            raise LimitsUnreadable from error

    def take(self, charge: Charge, *, again: bool) -> Standing | None:
        """Count one call, `again` as a replay; raises RateLimited. None: it has no limit."""
        of = charge.again if again else charge.first
        if of is None:
            return None
        bucket = charge.bucket.replays if again else charge.bucket.value
        key, now_us = (charge.who, bucket), self._tx.now_us
        taken = take(self._tat(key), now_us, of)
        if taken.wait_us:
            raise refused(bucket, charge.endpoint, of, taken, now_us)
        self._tats[key] = taken.tat_us
        return standing(bucket, of, taken.tat_us, now_us)

    def changed(self) -> list[LimitRow]:
        """What is to be written."""
        return [
            LimitRow(principal=key[0], bucket=key[1], tat_us=tat_us, version=self._version(key) + 1)
            for key, tat_us in self._tats.items()
        ]

    def _tat(self, key: LimitKey) -> int:
        found = self._tats.get(key)
        if found is not None:
            return found
        row = self._found.get(key)
        return 0 if row is None else row.tat_us

    def _version(self, key: LimitKey) -> int:
        row = self._found.get(key)
        return 0 if row is None else row.version


def keys_of(charge: Charge, *, maybe_again: bool, surely_again: bool = False) -> list[LimitKey]:
    """The rows a call may be counted in."""
    keys = [] if surely_again else [(charge.who, charge.bucket.value)]
    if maybe_again or surely_again:
        keys.append((charge.who, charge.bucket.replays))
    return keys


def count_alone(db: Database, charge: Charge) -> Standing | None:
    """Count a call that no operation makes, before it is made.

    Raises RateLimited, LimitsUnreadable.
    """

    def count(tx: Tx) -> Standing | None:
        counts = Counts(tx)
        counts.load(keys_of(charge, maybe_again=False))
        found = counts.take(charge, again=False)
        tx.write(WriteSet(limits=counts.changed()))
        return found

    for _ in range(_TRIES):
        try:
            return db.transaction(count)
        except LostRow:  # a rival made the caller's first row; now there is one to lock
            continue
    raise LimitsUnreadable


class Forgetting:
    """The handler of the job that forgets rows that say nothing any more."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def handle(self, _run: Run) -> dict[str, Any]:
        """One walk over all rows, a page per transaction; how many went."""
        gone, after = 0, START
        for _ in range(_PAGES_MAX):
            at = after
            following, found = self._db.transaction(lambda tx, at=at: prune_limits(tx, at, _PAGE))  # type: ignore[misc]  # bound at once
            gone += found
            if following is None:
                break
            after = following
        return {"forgotten": gone}
