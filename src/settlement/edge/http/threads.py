"""Threads for what blocks, so that the event loop never does.

Keys, reads, exports, and what waits for strangers, each have their own.

Guarantees: a key is looked up although every reader waits for the database, reads go on although
exports wait for the log, and exports although servers and names of strangers do not answer; what an
app starts, it stops.
Does not: bound how long a call takes; the services do.

Change colour: amber.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

KEY_THREADS: Final = 1  # look-ups are read together, so one is enough
READ_THREADS: Final = 8
#: Exports wait up to five seconds for a tree head that covers them, doing nothing.
EXPORT_THREADS: Final = 32
#: Names that are looked up, servers that are asked: each up to four seconds, few per caller.
OUTSIDE_THREADS: Final = 16


class Threads:
    """The pools of one app."""

    def __init__(self) -> None:
        self._keys = ThreadPoolExecutor(KEY_THREADS, thread_name_prefix="http-keys")
        self._reads = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="http-reads")
        self._exports = ThreadPoolExecutor(EXPORT_THREADS, thread_name_prefix="http-exports")
        self._outside = ThreadPoolExecutor(OUTSIDE_THREADS, thread_name_prefix="http-outside")

    def key(self, call: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Look a key up."""
        return asyncio.get_running_loop().run_in_executor(self._keys, call, *args)

    def read(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> asyncio.Future[T]:
        """Read from the database."""
        wanted = partial(call, *args, **kwargs)
        return asyncio.get_running_loop().run_in_executor(self._reads, wanted)

    def export(self, call: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Make something that may wait for the log."""
        return asyncio.get_running_loop().run_in_executor(self._exports, call, *args)

    def outside(self, call: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Do what waits for the servers, or the names, of strangers."""
        return asyncio.get_running_loop().run_in_executor(self._outside, call, *args)

    def after(self, first: Callable[[], None]) -> CountedThreads:
        """These threads, where every call begins with another one; what that raises is raised."""
        return CountedThreads(self, first)

    def close(self) -> None:
        """Let running calls end, start no more."""
        for pool in (self._keys, self._reads, self._exports, self._outside):
            pool.shutdown(wait=True, cancel_futures=True)


class CountedThreads:
    """The same threads for a request that is not counted yet: its first call counts it."""

    def __init__(self, threads: Threads, first: Callable[[], None]) -> None:
        self._threads = threads
        self._first = first

    def read(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> asyncio.Future[T]:
        """As `Threads.read`."""
        return self._threads.read(self._counted(call), *args, **kwargs)

    def export(self, call: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """As `Threads.export`."""
        return self._threads.export(self._counted(call), *args)

    def outside(self, call: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """As `Threads.outside`."""
        return self._threads.outside(self._counted(call), *args)

    def _counted(self, call: Callable[..., T]) -> Callable[..., T]:
        @wraps(call)
        def counted(*args: Any, **kwargs: Any) -> T:
            self._first()
            return call(*args, **kwargs)

        return counted
