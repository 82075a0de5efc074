"""The root of the refusals: kinds, retry advice, fields that make sentences, the registry of codes.

Guarantees: `code`, `kind`, `retry` and `title` are fixed per class; a code used twice stops the
import; `to_record`/`from_record` round-trip.
Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar, TypeVar, dataclass_transform

_L = TypeVar("_L")


class Kind(StrEnum):
    """What sort of refusal it is; the edge maps each kind to one status."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    EXHAUSTED = "exhausted"
    UNAVAILABLE = "unavailable"
    CORRUPT = "corrupt"


class Retry(StrEnum):
    """The question every agent caller has: may I send it again, and under which key?"""

    NEVER = "never"
    SAME_KEY = "same_key"
    NEW_KEY = "new_key"
    LATER = "later"


BY_CODE: dict[str, type[SettlementError]] = {}


class SettlementError(Exception):
    """Root of the tree. Subclasses with a `code` register themselves in `BY_CODE`."""

    code: ClassVar[str]
    kind: ClassVar[Kind]
    retry: ClassVar[Retry]
    title: ClassVar[str]
    message: ClassVar[str] = ""
    advice: ClassVar[str] = ""
    #: 400 instead of 422 (spec §1.5 lists the few).
    bad_request: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register a leaf under its code; a code used twice is a programmer's error."""
        super().__init_subclass__(**kwargs)
        code = cls.__dict__.get("code")
        if code is not None:
            assert code not in BY_CODE or BY_CODE[code].__qualname__ == cls.__qualname__, code
            BY_CODE[code] = cls

    def members(self) -> dict[str, Any]:
        """The typed fields, as extension members of the problem document (None left out)."""
        named = fields(self)  # type: ignore[arg-type]  # every leaf is a dataclass
        return {f.name: v for f in named if (v := getattr(self, f.name)) is not None}

    @property
    def detail(self) -> str:
        """One or two sentences made from the fields: what happened, then what to do next."""
        named = fields(self)  # type: ignore[arg-type]  # every leaf is a dataclass
        text = self.message.format(**{f.name: getattr(self, f.name) for f in named})
        return f"{text} {self.advice}".strip()

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

    def to_record(self) -> dict[str, Any]:
        """A form to store: code and fields."""
        return {"code": self.code, "members": self.members()}


def from_record(record: dict[str, Any]) -> SettlementError:
    """Rebuild a stored refusal, so that its replay is the same refusal."""
    return BY_CODE[record["code"]](**record["members"])


# --- kinds ---------------------------------------------------------------------------------------


class InvalidRequest(SettlementError):
    """The request itself is wrong; sending it again cannot help."""

    kind = Kind.INVALID
    retry = Retry.NEVER


class Unauthenticated(SettlementError):
    """Nobody, or nobody we know."""

    kind = Kind.UNAUTHENTICATED
    retry = Retry.NEVER


class Forbidden(SettlementError):
    """We know who you are, and you may not."""

    kind = Kind.FORBIDDEN
    retry = Retry.NEVER


class NotFound(SettlementError):
    """No such thing, or not yours to see: a stranger cannot tell which."""

    kind = Kind.NOT_FOUND
    retry = Retry.NEVER


class Rejected(SettlementError):
    """The state of the world says no; a new request under a new key may succeed later."""

    kind = Kind.REJECTED
    retry = Retry.NEW_KEY


class Conflict(SettlementError):
    """Another call got there, or is getting there."""

    kind = Kind.CONFLICT
    retry = Retry.SAME_KEY


class Exhausted(SettlementError):
    """Too many calls."""

    kind = Kind.EXHAUSTED
    retry = Retry.SAME_KEY


class Unavailable(SettlementError):
    """We cannot right now; nothing was done."""

    kind = Kind.UNAVAILABLE
    retry = Retry.SAME_KEY


class Corrupt(SettlementError):
    """The books contradict themselves. Never caught; pages a human."""

    kind = Kind.CORRUPT
    retry = Retry.NEVER


@dataclass_transform(kw_only_default=True, eq_default=False)
def leaf(cls: type[_L]) -> type[_L]:
    """Make a refusal's fields its constructor: keyword only, compared by identity."""
    return dataclass(kw_only=True, eq=False, repr=False)(cls)
