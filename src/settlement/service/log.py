"""The sequencer: gives committed events their place in the log, and signs tree heads.

For: the worker's loop, and exports, which run it so that a fresh deal is anchored at once.
Guarantees: indexes are dense, each event is a leaf once, a deal's events keep their order; every
write holds the lease row under its fence, so a holder that overslept writes nothing; a head is
signed only after the stored rows prove that it extends the last one and the checkpoint file's, at
most one per interval; nothing is sequenced or signed while the log is behind its checkpoint.
Does not: follow "greater than last seen" - numbers are not handed out in commit order, so rows wait
in `event_pending` until they get an index. Read proofs: `log_views.py`; bundles: `bundles.py`.

Spec §8.2, §8.3, §17.2. Change colour: red.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from settlement.core.checkpoint import DEFAULT_LOG_ID, TreeHead, sign_head
from settlement.core.clock import SECOND_US, parse_time, time_text
from settlement.core.errors import (
    BehindCheckpoint,
    CheckpointDiverged,
    DealNotFound,
    LeaseLost,
    LogLagging,
    NoSigningKey,
)
from settlement.faults import fault
from settlement.service.checkpoint_file import CheckpointFile
from settlement.service.leases import LeaseTable
from settlement.service.log_steps import (
    Look,
    check_extends,
    give_indexes,
    keep_head,
    look_at_log,
    prove_root,
)
from settlement.store import log as rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from settlement.service.leases import Lease
    from settlement.signing import Signer
    from settlement.store.database import Database, Tx

T = TypeVar("T")

LEASE_NAME: Final = "sequencer"
WAIT_SECONDS_MAX: Final = 5
#: How often a waiting export looks for heads that another process signed.
_LOOK_MS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What the log depends on; the defaults are the published names and the spec's figures."""

    log_id: str = DEFAULT_LOG_ID
    checkpoint_file: Path | None = None
    batch: int = 1000
    #: Short, so that an export in another process outwaits a holder that died.
    lease_seconds: int = 3
    head_interval_us: int = SECOND_US


class Sequencer:
    """One per process. Safe to call from any thread; one step runs at a time."""

    def __init__(
        self,
        db: Database,
        signer: Signer | None,
        settings: LogSettings,
        *,
        owner: str | None = None,
    ) -> None:
        self._db = db
        self._leases = LeaseTable(db)
        self._signer = signer
        self._settings = settings
        self._file = CheckpointFile(settings.checkpoint_file)
        self._owner = owner or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._step = threading.Lock()  # held through a step, never while waiting
        self._lease: Lease | None = None  # these three: under _step
        self._filed: TreeHead | None = None
        self._signed_at_us = 0
        self._news = threading.Condition()
        self._head: TreeHead | None = None  # under _news: the largest head seen
        self._behind: BehindCheckpoint | None = None

    # --- the worker's steps ----------------------------------------------------------------------

    def run_once(self) -> int:
        """Give an index to up to a batch of pending events; 0 when none, or another holds it."""
        with self._step:
            return self._sequence()

    def sign(self) -> TreeHead | None:
        """Sign a head if one is due, and bring the checkpoint file up to the last head.

        None when nothing changed, it is too early, another process holds the lease, or there is no
        key. Raises CheckpointDiverged when the stored rows do not extend what was signed.
        """
        with self._step:
            return self._sign()

    def step(self) -> int:
        """Sequence, then sign: the body of the worker's loop. 0 when the loop may rest.

        A batch that was not full counts as rest: small batches at every commit would cost the
        commits of the money more than they are worth.
        """
        with self._step:
            done = self._sequence()
            self._sign()
            return done if done >= self._settings.batch else 0

    def close(self) -> None:
        """Give the lease back, so that another process need not wait for it to lapse."""
        with self._step:
            if self._lease is not None:
                with suppress(LeaseLost):  # then it is another's already
                    self._leases.release(self._lease)
            self._lease = None

    # --- start-up --------------------------------------------------------------------------------

    def check_checkpoint(self) -> BehindCheckpoint | None:
        """Compare the last head with the checkpoint file; what it returns makes us read-only.

        Raises CheckpointDiverged when both exist and contradict each other.
        """
        with self._step:
            promised = self._file.read()
            look = self._db.read(look_at_log)
            self._behind = None
            if promised is not None and look.signed_size < promised.tree_size:
                self._behind = BehindCheckpoint(
                    promised=promised.tree_size, reached=look.signed_size
                )
            elif look.last is not None:
                self._keep_file(look.last)  # a crash may have come between commit and file
            return self._behind

    def accept_gap(self) -> TreeHead | None:
        """Go on from the last head here, although a larger one was signed: an operator's decision.

        The caller records it as an event (spec §17.2).
        """
        with self._step:
            last = self._db.read(look_at_log).last
            self._file.accept(last)
            self._behind, self._filed = None, last
            return last

    # --- exports ---------------------------------------------------------------------------------

    def ensure_covered(self, deal_id: str, timeout_seconds: int = WAIT_SECONDS_MAX) -> TreeHead:
        """A signed head over the deal's last event as of now.

        Sequences and signs here if this process can, else waits for the one that does. As heads
        are at most one a second, a fresh event may wait that long. Raises LogLagging after the
        timeout (at most 5 s), NoSigningKey without a key, DealNotFound for a chain without events.
        """
        return self.cover_by(deal_id, clock_ms() + min(timeout_seconds, WAIT_SECONDS_MAX) * 1000)

    def cover_by(self, deal_id: str, deadline_ms: int) -> TreeHead:
        """As `ensure_covered`, until a moment of `clock_ms`."""
        last = self._db.read(lambda tx: rows.find_last_position(tx, deal_id))
        if last is None:
            raise DealNotFound(deal_id=deal_id)
        index = last.log_index
        self._remember(self._db.read(rows.find_head))
        while True:
            if index is None:
                index = self._db.read(lambda tx: rows.find_index(tx, deal_id, last.version))
            head = self._head
            if index is not None and head is not None and head.tree_size > index:
                return head
            if self._signer is None:
                raise NoSigningKey()
            if clock_ms() >= deadline_ms:
                raise LogLagging(deal_id=deal_id)
            self._advance(head, deadline_ms)

    def _advance(self, seen: TreeHead | None, deadline_ms: int) -> None:
        """Run a step here, or wait for the thread or process that does."""
        due_ms = _LOOK_MS
        if self._step.acquire(blocking=False):
            try:
                while self._sequence() >= self._settings.batch and clock_ms() < deadline_ms:
                    pass
                self._sign()
                look = self._db.read(look_at_log)
                if self._lease is not None:
                    due_ms = max(1, self._due_in_us(look) // 1000)
            finally:
                self._step.release()
            self._remember(look.last)
        with self._news:
            if self._head is seen:
                left_ms = max(0, deadline_ms - clock_ms())
                self._news.wait(min(due_ms, left_ms) / 1000)

    def _remember(self, head: TreeHead | None) -> None:
        with self._news:
            if head and (self._head is None or head.tree_size > self._head.tree_size):
                self._head = head
                self._news.notify_all()

    # --- one step, under the step lock -----------------------------------------------------------

    def _refuse_behind(self) -> None:
        if self._behind is not None:
            raise BehindCheckpoint(**self._behind.members())

    def _sequence(self) -> int:
        self._refuse_behind()
        if not self._db.read(rows.has_pending):
            return 0  # an idle log writes nothing, not even its lease
        for _ in range(2):  # the lease may have lapsed and be free
            lease = self._hold()
            if lease is None:
                return 0
            done = self._write_as(lease, self._give_indexes)
            if done is not None:
                fault("log.after_indexes")
                return done
        return 0

    def _give_indexes(self, tx: Tx) -> int:
        done = give_indexes(tx, self._settings.batch)
        fault("log.before_indexes")
        return done

    def _sign(self) -> TreeHead | None:
        self._refuse_behind()
        if self._signer is None:
            return None
        look = self._db.read(look_at_log)
        if look.last is not None and not look.changed:
            self._keep_file(look.last)
            return None
        if self._due_in_us(look) > 0:
            return None
        lease = self._hold()
        return self._sign_next(self._signer, lease) if lease is not None else None

    def _sign_next(self, signer: Signer, lease: Lease) -> TreeHead | None:
        # Proving may read a few thousand hashes, so it happens on a snapshot and not under the
        # write lock. The fence was ours before the snapshot and is tested with the insert: nobody
        # else can have signed in between.
        promised = self._file.read()
        known = [promised] if promised is not None else []
        log_id, key = self._settings.log_id, (signer.key_id, signer.public_key)
        look, root = self._db.read(lambda tx: prove_root(tx, known, log_id, key))
        if not look.changed:
            return None
        now_us = max(look.now_us, parse_time(look.last.timestamp) if look.last else 0)
        head = sign_head(
            signer.sign,
            log_id=log_id,
            tree_size=look.size,
            root_hash=root.hex(),
            timestamp=time_text(now_us),
            key_id=signer.key_id,
        )

        def keep(tx: Tx) -> bool:
            keep_head(tx, look.last, head)
            return True

        fault("log.before_head")
        if self._write_as(lease, keep) is None:
            return None
        fault("log.before_checkpoint_file")
        self._signed_at_us = clock_ms() * 1000
        self._file.advance(head)
        self._filed = head
        self._remember(head)
        return head

    def _keep_file(self, last: TreeHead) -> None:
        """Bring the file up to the last head; raises CheckpointDiverged if it says otherwise."""
        if self._filed == last:
            return
        promised = self._file.read()
        # Read the head again, after the file: another process may have signed and written since.
        last = self._db.read(lambda tx: self._check_promise(tx, promised))
        self._file.advance(last)
        self._filed = last

    def _check_promise(self, tx: Tx, promised: TreeHead | None) -> TreeHead:
        last = rows.find_head(tx)
        assert last is not None, "heads are never deleted"
        if promised is not None and promised != last:
            if promised.tree_size >= last.tree_size:
                raise CheckpointDiverged(tree_size=promised.tree_size)
            root = bytes.fromhex(last.root_hash)
            log_id, size = self._settings.log_id, last.tree_size
            check_extends(rows.TxHashes(tx), promised, log_id=log_id, size=size, root=root)
        return last

    def _due_in_us(self, look: Look) -> int:
        """How long until the next head may be signed."""
        interval_us = self._settings.head_interval_us
        if look.last is None:
            return 0
        since_us = look.now_us - parse_time(look.last.timestamp)
        if since_us < 0:
            # The clock was set back. The log must not stop until it has caught up, so from here
            # on the interval is measured on our own.
            since_us = clock_ms() * 1000 - self._signed_at_us
        return max(0, interval_us - since_us)

    # --- the lease -------------------------------------------------------------------------------

    def _hold(self) -> Lease | None:
        """The lease under which we write, taken if it is free."""
        if self._lease is None:
            seconds = self._settings.lease_seconds
            self._lease = self._leases.acquire(LEASE_NAME, self._owner, seconds)
        return self._lease

    def _write_as(self, lease: Lease, write: Callable[[Tx], T]) -> T | None:
        """Write and extend the lease in one transaction; None, nothing written, if it was lost."""
        seconds = self._settings.lease_seconds

        def guarded(tx: Tx) -> T:
            rows.hold_lease(
                tx, name=lease.name, owner=lease.owner, fence=lease.fence, seconds=seconds
            )
            return write(tx)

        try:
            return self._db.transaction(guarded)
        except LeaseLost:
            self._lease = None
            return None


def clock_ms() -> int:
    """Milliseconds of a clock that nobody sets."""
    return time.monotonic_ns() // 1_000_000
