"""What the lines of the claims journal mean, and the state they add up to. Pure.

For: `file_backend.py`.
Guarantees: a fence is `epoch * 2**40 + counter` and grows at every change of holder of a name, also
when the name was forgotten in between (the floor remembers) and after a restore (the epoch does).
A record that does not fit the state is refused, never guessed at.
Does not: read a clock, lock or write.

Spec §7. Change colour: red (FORMAT).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, assert_never

import msgspec

from settlement.core.clock import SECOND_US

EPOCH: Final = 2**40
IDEMPOTENCY_RESULT_TTL: Final = 86_400
_RESULT_TTL_US: Final = IDEMPOTENCY_RESULT_TTL * SECOND_US


class _Record(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="op"
):
    at_us: int


class Claim(_Record, frozen=True, tag="claim"):
    """A name has a new holder."""

    key: str
    owner: str
    fence: int
    expires_us: int


class Renew(_Record, frozen=True, tag="renew"):
    """Its holder keeps it longer."""

    key: str
    fence: int
    expires_us: int


class Put(_Record, frozen=True, tag="put"):
    """Its holder has finished, with a result."""

    key: str
    fence: int
    result: Any
    metadata: Any


class Release(_Record, frozen=True, tag="release"):
    """Its holder gives it back."""

    key: str
    fence: int


class Epoch(_Record, frozen=True, tag="epoch"):
    """A restore: nobody holds anything any more, and all fences jump."""

    epoch: int


class Boot(_Record, frozen=True, tag="boot"):
    """On this boot of the machine, uptime `uptime_us` was the time `at_us`."""

    boot: str
    uptime_us: int


class Base(_Record, frozen=True, tag="base"):
    """First line after a compaction: all but the names."""

    epoch: int
    floor: int
    boot: str
    boot_at_us: int
    uptime_us: int


class Kept(_Record, frozen=True, tag="kept"):
    """A name that a compaction kept, as it stood."""

    key: str
    fence: int
    owner: str
    claimed_us: int
    expires_us: int
    done: Any  # [result, metadata, stored_us], or null


Record: TypeAlias = Claim | Renew | Put | Release | Epoch | Boot | Base | Kept


class Misfit(Exception):
    """A record that cannot follow the ones before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A finished claim's result."""

    result: Any
    metadata: Any
    stored_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """One name: held until `expires_us`, done, or free."""

    fence: int
    owner: str = ""
    claimed_us: int = 0
    expires_us: int = 0
    done: Done | None = None

    def held(self, now_us: int) -> bool:
        """Somebody holds it."""
        return self.done is None and self.expires_us > now_us

    def has_result(self, now_us: int) -> bool:
        """There is a result that still lives."""
        return self.done is not None and now_us - self.done.stored_us < _RESULT_TTL_US

    def live(self, now_us: int) -> bool:
        """It bars others."""
        return self.held(now_us) or self.has_result(now_us)


@dataclass(slots=True, kw_only=True)
class State:
    """All lines of a journal, applied in order."""

    epoch: int = 0
    floor: int = 0  # no forgotten name had a larger fence
    last_us: int = 0
    boot: Boot = field(default_factory=lambda: Boot(at_us=0, boot="", uptime_us=0))
    names: dict[str, Name] = field(default_factory=dict)

    def next_fence(self, key: str) -> int:
        """The fence of the next holder."""
        known = self.names.get(key)
        return max(known.fence if known else self.floor, self.epoch * EPOCH) + 1

    def is_current(self, key: str, fence: int) -> bool:
        """The fence is that of the holder: not finished, given back, or taken over."""
        name = self.names.get(key)
        return name is not None and name.fence == fence and name.owner != "" and name.done is None

    def apply(self, rec: dict[str, Any]) -> None:
        """Take in one line; raises Misfit."""
        try:
            record = msgspec.convert(rec, Record)
        except msgspec.ValidationError as error:
            raise Misfit(str(error)) from error
        self.follow(record)

    def follow(self, record: Record) -> None:
        """Take in one record; raises Misfit."""
        if record.at_us < self.last_us:
            raise Misfit("time went back")
        match record:
            case Claim():
                self._claim(record)
            case Renew() | Put() | Release():
                self._by_holder(record)
            case Epoch():
                self._new_epoch(record)
            case Boot():
                self.boot = record
            case Base():
                self._base(record)
            case Kept():
                self._kept(record)
            case _:
                assert_never(record)
        self.last_us = record.at_us

    def compacted(self, now_us: int) -> tuple[list[Record], int]:
        """Records that add up to what still counts, and how many names they leave out."""
        live = {key: name for key, name in self.names.items() if name.live(now_us)}
        dead = [name.fence for key, name in self.names.items() if key not in live]
        base = Base(
            at_us=now_us,
            epoch=self.epoch,
            floor=max([self.floor, *dead]),
            boot=self.boot.boot,
            boot_at_us=self.boot.at_us,
            uptime_us=self.boot.uptime_us,
        )
        return [base, *(_kept(now_us, key, name) for key, name in live.items())], len(dead)

    def _claim(self, record: Claim) -> None:
        if record.fence < self.next_fence(record.key) or not record.owner:
            raise Misfit(f"a fence of {record.key} did not grow")
        self.names[record.key] = Name(
            fence=record.fence,
            owner=record.owner,
            claimed_us=record.at_us,
            expires_us=record.expires_us,
        )

    def _by_holder(self, record: Renew | Put | Release) -> None:
        if not self.is_current(record.key, record.fence):
            raise Misfit(f"{record.key} was changed by one who did not hold it")
        name = self.names[record.key]
        match record:
            case Renew():
                name = replace(name, expires_us=record.expires_us)
            case Put():
                done = Done(result=record.result, metadata=record.metadata, stored_us=record.at_us)
                name = Name(fence=name.fence, done=done)
            case Release():
                name = Name(fence=name.fence)
            case _:
                assert_never(record)
        self.names[record.key] = name

    def _new_epoch(self, record: Epoch) -> None:
        if record.epoch <= self.epoch:
            raise Misfit("the epoch did not grow")
        self.epoch = record.epoch
        self.names = {
            key: name if name.done else Name(fence=name.fence) for key, name in self.names.items()
        }

    def _base(self, record: Base) -> None:
        if self.last_us or self.names:
            raise Misfit("a journal begins twice")
        self.epoch, self.floor = record.epoch, record.floor
        self.boot = Boot(at_us=record.boot_at_us, boot=record.boot, uptime_us=record.uptime_us)

    def _kept(self, record: Kept) -> None:
        if record.key in self.names:
            raise Misfit(f"{record.key} was kept twice")
        done = None
        if record.done is not None:
            result, metadata, stored_us = record.done
            done = Done(result=result, metadata=metadata, stored_us=stored_us)
        self.names[record.key] = Name(
            fence=record.fence,
            owner=record.owner,
            claimed_us=record.claimed_us,
            expires_us=record.expires_us,
            done=done,
        )


def _kept(now_us: int, key: str, name: Name) -> Kept:
    done = name.done
    return Kept(
        at_us=now_us,
        key=key,
        fence=name.fence,
        owner=name.owner,
        claimed_us=name.claimed_us,
        expires_us=name.expires_us,
        done=[done.result, done.metadata, done.stored_us] if done else None,
    )
