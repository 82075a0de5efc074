"""Ids: one small `str` class per kind, the shapes callers may send, and time-ordered new ids.

Guarantees: `parse` accepts only the documented shape of its kind, so mypy and the edge both keep
an agent id from standing where a deal id belongs; new ids sort by time, and within one source in
the order they were made. Time and random bytes are handed in.
Does not: promise secrecy - a quote id is a bearer capability and takes 128 random bits instead.

Spec §1.2. Change colour: amber.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final, Protocol, Self

from settlement.core.errors import MalformedId

_OURS: Final = re.compile(r"[0-9a-f]{32}")
_FROM_CALLER: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME: Final = re.compile(r"[A-Za-z0-9_.@:-]{1,128}")
_SLUG: Final = re.compile(r"[a-z0-9_.-]{0,64}")
_HEX64: Final = re.compile(r"[0-9a-f]{64}")

SYSTEM_PREFIX: Final = "sys_"
_QUOTE_BYTES: Final = 16
_UUID7_BYTES: Final = 10


class Id(str):
    """Base of every id: a prefix and a body. Build with `parse`, or from an `IdSource`."""

    __slots__ = ()
    prefix: ClassVar[str] = ""
    body: ClassVar[re.Pattern[str]] = _OURS

    @classmethod
    def parse(cls, text: str, field: str | None = None) -> Self:
        """Check the shape; raises MalformedId naming the field (default: the kind's own name)."""
        if not text.startswith(cls.prefix) or not cls.body.fullmatch(text, len(cls.prefix)):
            raise MalformedId(field=field or f"{cls.prefix}id")
        return cls(text)

    @classmethod
    def new(cls, source: IdSource) -> Self:
        """Take the next id of this kind from the source."""
        return cls(source.new(cls.prefix))


class AgentId(Id):
    """A registered agent."""

    __slots__ = ()
    prefix = "agent_"


class DealId(Id):
    """A deal's stream; callers may choose it. `sys_` streams come from `system_stream` only."""

    __slots__ = ()
    prefix = "deal_"
    body = _FROM_CALLER


class EventId(Id):
    """One event; callers may choose it."""

    __slots__ = ()
    prefix = "evt_"
    body = _FROM_CALLER


class TxId(Id):
    """Transfers that stand or fall together."""

    __slots__ = ()
    prefix = "tx_"


class TransferId(Id):
    """One transfer."""

    __slots__ = ()
    prefix = "xfer_"


class ReceiptId(Id):
    """One verification receipt."""

    __slots__ = ()
    prefix = "rcpt_"


class IntentId(Id):
    """One intent on the exchange."""

    __slots__ = ()
    prefix = "intent_"


class BidId(Id):
    """One sealed bid."""

    __slots__ = ()
    prefix = "bid_"


class KeyId(Id):
    """One key row or enrolled signing key."""

    __slots__ = ()
    prefix = "key_"


class JobId(Id):
    """One queued job."""

    __slots__ = ()
    prefix = "job_"


class OutboxId(Id):
    """One outbox message."""

    __slots__ = ()
    prefix = "obx_"


class EffectId(Id):
    """One thing asked of a rail."""

    __slots__ = ()
    prefix = "eff_"


class PayoutId(Id):
    """One payout to one payee."""

    __slots__ = ()
    prefix = "pay_"


class DestinationId(Id):
    """One payout destination."""

    __slots__ = ()
    prefix = "dest_"


class HookId(Id):
    """One outgoing webhook subscription."""

    __slots__ = ()
    prefix = "hook_"


class DeliveryId(Id):
    """One webhook delivery."""

    __slots__ = ()
    prefix = "dlv_"


class AcceptanceId(Id):
    """One acceptance of a deal."""

    __slots__ = ()
    prefix = "acc_"


class DisputeId(Id):
    """One dispute."""

    __slots__ = ()
    prefix = "dsp_"


class MandateId(Id):
    """One mandate."""

    __slots__ = ()
    prefix = "mnd_"


class TopupId(Id):
    """One top-up of an agent's balance."""

    __slots__ = ()
    prefix = "topup_"


class QuoteId(Id):
    """A bearer capability: 128 random bits, never from a time-ordered source."""

    __slots__ = ()
    prefix = "quote_"

    @classmethod
    def from_random(cls, random_bytes: bytes) -> Self:
        """Build from exactly 16 fresh random bytes."""
        assert len(random_bytes) == _QUOTE_BYTES, "a quote id is 128 random bits"
        return cls(cls.prefix + random_bytes.hex())


def system_stream(subject_id: str) -> DealId:
    """Name the stream of an event without a deal: `sys_<subject id>` (spec §4.2)."""
    return DealId(SYSTEM_PREFIX + subject_id)


def check_name(text: str, field: str) -> str:
    """Accept a party name or a caller's hash: 1-128 of letters, digits and `_.@:-`."""
    if not _NAME.fullmatch(text):
        raise MalformedId(field=field)
    return text


def check_hash(text: str, field: str) -> str:
    """Accept a hash a caller names; the same alphabet as a party name, so never a `|`."""
    return check_name(text, field)


def check_slug(text: str, field: str) -> str:
    """Accept a vertical, sku id or provider: 0-64 of lower-case letters, digits and `_.-`."""
    if not _SLUG.fullmatch(text):
        raise MalformedId(field=field)
    return text


def is_hex64(text: str) -> bool:
    """Tell whether this is a full lower-case SHA-256 in hex."""
    return _HEX64.fullmatch(text) is not None


def uuid7_hex(unix_ms: int, random_bytes: bytes) -> str:
    """Build a UUIDv7 (RFC 9562 §5.7) as 32 hex digits from a time and 10 random bytes."""
    assert 0 <= unix_ms < 2**48, "unix_ms must fit 48 bits"
    assert len(random_bytes) >= _UUID7_BYTES, "a UUIDv7 takes 10 random bytes"
    noise = int.from_bytes(random_bytes[:_UUID7_BYTES], "big")
    rand_a = noise >> 68
    rand_b = noise & (2**62 - 1)
    return f"{unix_ms << 80 | 7 << 76 | rand_a << 64 | 2 << 62 | rand_b:032x}"


class IdSource(Protocol):
    """Where new ids come from. Two implementations: `SequenceIds` here, fixed ids in tests."""

    def new(self, prefix: str) -> str:
        """Return prefix + 32 hex, later than every id this source returned before."""
        ...


# The variant nibble carries two counter bits, four more hex digits the rest: 2**18 ids, then the
# sub-millisecond field steps on by one.
_COUNTER_FIRST: Final = 0x80000
_COUNTER_END: Final = 0xC0000
_TAIL_BYTES: Final = 6


class SequenceIds:
    """Time-ordered UUIDv7 ids from one instant and one seed, in strictly rising order.

    48 bits of milliseconds, 12 of the microsecond, 18 of counter, 44 from the seed. Two sources at
    the same microsecond differ by their seeds, so a seed must be fresh random bytes; ids are not
    secrets. One source belongs to one thread.
    """

    __slots__ = ("_counter", "_head", "_tail", "_ticks")

    def __init__(self, *, unix_us: int, seed: bytes) -> None:
        assert len(seed) >= _TAIL_BYTES, "a seed is at least 6 random bytes"
        # Quarter microseconds within the millisecond fill 0..3999 of the twelve bits.
        self._ticks = (unix_us // 1000) * 4096 + (unix_us % 1000) * 4
        self._tail = seed[:_TAIL_BYTES].hex()[:11]
        self._head = ""
        self._counter = _COUNTER_FIRST
        self._set_head()

    def new(self, prefix: str) -> str:
        """Return the next id of this source with the given prefix."""
        counter = self._counter
        if counter == _COUNTER_END:
            self._ticks += 1
            self._set_head()
            counter = _COUNTER_FIRST
        self._counter = counter + 1
        return f"{prefix}{self._head}{counter:05x}{self._tail}"

    def _set_head(self) -> None:
        unix_ms, rand_a = divmod(self._ticks, 4096)
        assert 0 <= unix_ms < 2**48, "unix_us must fit 48 bits of milliseconds"
        self._head = f"{unix_ms:012x}7{rand_a:03x}"
