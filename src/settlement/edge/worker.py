"""The worker: a set of supervised loops, each repeating one step.

For: `wiring`, which plugs in the loops (effects, sequencer, outbox, ...), and the two processes
that run them: the server itself and `settlement worker`.
Guarantees: a loop that crashes starts again, later each time; a loop with work goes on at once, an
idle one looks again after its interval (spread a little, so that processes do not march in step) or
when a commit of this process wakes it. `stop` lets every loop finish its step, within a limit, then
gives back the leases of this process without using an attempt.
Does not: know what a step does.

Spec §9.3. Change colour: amber.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from settlement.core.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from settlement.core.writeset import WriteSet
    from settlement.service.jobs import JobQueue

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
STOP_SECONDS: Final = 20.0
_JITTER: Final = 0.2
_BACKOFF_FIRST: Final = 0.5
_BACKOFF_MAX: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One loop: a step that says how much it did, and how often to look when it did nothing.

    wakes: tells whether a commit of this process may have made work for it; None: any commit.
    """

    name: str
    step: Callable[[], int]
    interval_seconds: float = POLL_SECONDS
    wakes: Callable[[WriteSet], bool] | None = None


def has_jobs(writes: WriteSet) -> bool:
    """For loops that work off jobs."""
    return bool(writes.jobs)


def has_events(writes: WriteSet) -> bool:
    """For loops that follow events: the outbox, the sequencer."""
    return bool(writes.events)


@dataclass(slots=True, eq=False)
class _Running:
    loop: Loop
    wake: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    beat_ns: int = 0
    steps: int = 0
    crashes: int = 0
    error: str | None = None


class Worker:
    """Runs loops in threads. Start once, stop once."""

    def __init__(
        self, loops: Sequence[Loop], *, jobs: JobQueue | None = None, owner: str | None = None
    ) -> None:
        self._running = [_Running(loop) for loop in loops]
        self._jobs = jobs
        self._owner = owner
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start a thread per loop."""
        for running in self._running:
            running.beat_ns = time.monotonic_ns()
            running.thread = threading.Thread(
                target=self._supervise,
                args=(running,),
                name=f"settlement-{running.loop.name}",
                daemon=True,
            )
            running.thread.start()

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Claim nothing more, let the steps end, give back leases; False if a step did not end.

        What such a step holds is found by its expired lease, as after a crash.
        """
        self._stopping.set()
        deadline = time.monotonic() + seconds
        for running in self._running:
            running.wake.set()
        for running in self._running:
            if running.thread is not None:
                running.thread.join(max(0.0, deadline - time.monotonic()))
        late = [r.loop.name for r in self._running if r.thread is not None and r.thread.is_alive()]
        if late:
            logger.warning("still working after %s s: %s", seconds, ", ".join(late))
        elif self._jobs is not None and self._owner is not None:
            self._jobs.hand_back(self._owner)
        return not late

    def committed(self, writes: WriteSet) -> None:
        """A commit listener: wake the loops it may have made work for."""
        for running in self._running:
            wakes = running.loop.wakes
            if wakes is None or wakes(writes):
                running.wake.set()

    def heartbeats(self) -> dict[str, dict[str, Any]]:
        """Per loop: age of the last sign of life, steps, crashes, last error; for `/health`."""
        now = time.monotonic_ns()
        return {
            r.loop.name: {
                "age_ms": (now - r.beat_ns) // 10**6,
                "alive": r.thread is not None and r.thread.is_alive(),
                "steps": r.steps,
                "crashes": r.crashes,
                "last_error": r.error,
            }
            for r in self._running
        }

    # --- the loops -------------------------------------------------------------------------------

    def _supervise(self, running: _Running) -> None:
        pause = _BACKOFF_FIRST
        while not self._stopping.is_set():
            steps_before = running.steps
            try:
                worker_loop(running.loop, self._stopping, running.wake, running)
            except Exception as error:
                running.crashes += 1
                running.error = f"{type(error).__name__}: {error}"
                if isinstance(error, DatabaseUnavailable):
                    # No fault of ours, in every loop at once, and as often as they try: one line.
                    why = (running.loop.name, error.reason)
                    logger.warning("loop %s waits: the database did not answer (%s)", *why)
                else:
                    logger.exception("loop %s crashed and starts again", running.loop.name)
                pause = _BACKOFF_FIRST if running.steps > steps_before else pause
                self._stopping.wait(pause)
                pause = min(_BACKOFF_MAX, pause * 2)


def worker_loop(
    loop: Loop,
    stopping: threading.Event,
    wake: threading.Event,
    beats: _Running | None = None,
) -> None:
    """Repeat a step until told to stop; raises what the step raises."""
    while not stopping.is_set():
        # Cleared before the step: a commit during the step is seen by the next one.
        wake.clear()
        done = loop.step()
        if beats is not None:
            beats.beat_ns = time.monotonic_ns()
            beats.steps += 1
        if not done and not stopping.is_set():
            # Spread, not secret.
            wake.wait(loop.interval_seconds * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311
