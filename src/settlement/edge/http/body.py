"""Reads request bodies: bounded in size and depth, strict, numbers kept as written (spec §1.4).

Guarantees: nothing above 256 KiB is held in memory; duplicate members, NaN, lone surrogates and
control characters (but tab and newline) are refused before anybody acts on the body; an integer is
an `int`, any other number a `Number`, whose text is what the caller wrote. An empty body is `{}`.
Does not: know which members a call has; `schemas.py` does.

Spec §1.4, contract §1.1, §1.2. Change colour: amber.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from settlement.core.errors import BodyTooDeep, BodyTooLarge, JsonMalformed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

BODY_BYTES_MAX: Final = 256 * 1024
DEPTH_MAX: Final = 32
#: Far beyond any amount or score, far below where int() refuses or crawls.
NUMBER_CHARS_MAX: Final = 400

# A string that nobody closed is one token to the end: looked for from each of its quotes anew, it
# costs the square of its length, and everybody waits. The possessive star never goes back.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_CONTROL: Final = re.compile("[\x7f-\x9f]")
# Cc but tab and newline. Carriage return is one of them: it has no place in hashed text.
_UNSPEAKABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Number(Decimal):
    """A number written with a fraction or an exponent. `text` is what stood in the body."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Number:
        """Keep the text beside the value: 1e2 and 100 are equal, but not the same request."""
        number = super().__new__(cls, text)
        number.text = text
        return number


async def read_bounded(chunks: AsyncIterator[bytes], announced: int | None) -> bytes:
    """Collect a body and stop at the limit; raises BodyTooLarge, at once when it is announced."""
    if announced is not None and announced > BODY_BYTES_MAX:
        raise BodyTooLarge(limit_bytes=BODY_BYTES_MAX)
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise BodyTooLarge(limit_bytes=BODY_BYTES_MAX)
        parts.append(chunk)
    return b"".join(parts)


def parse_object(body: bytes) -> dict[str, Any]:
    """Read one JSON object; raises JsonMalformed or BodyTooDeep. Empty is `{}`."""
    if not body.strip():
        return {}
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise JsonMalformed(reason="it is not UTF-8") from None
    _check_depth(text)
    try:
        value = _decode(text)
    except json.JSONDecodeError as error:
        raise JsonMalformed(reason=f"{error.msg} at character {error.pos}") from None
    except (ValueError, ArithmeticError, RecursionError):
        raise JsonMalformed(reason="a number or the nesting has no readable form") from None
    if not isinstance(value, dict):
        raise JsonMalformed(reason="it is not an object")
    _check_text(text, value)
    return value


def _check_depth(text: str) -> None:
    """Measure the nesting outside strings, before the parser recurses into it."""
    if text.count("{") + text.count("[") <= DEPTH_MAX:
        return
    depth = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first == '"':
            continue
        depth += 1 if first in "[{" else -1
        if depth > DEPTH_MAX:
            raise BodyTooDeep(limit_depth=DEPTH_MAX)


def _check_text(text: str, value: dict[str, Any]) -> None:
    """Refuse characters that no hash, database or terminal should meet."""
    # Without a backslash the strings are the text itself, which is already free of raw C0
    # characters (the parser) and of surrogates (UTF-8); only then is one look enough.
    if "\\" not in text:
        if _CONTROL.search(text):
            raise JsonMalformed(reason="a string holds a control character")
        return
    for part in _strings(value):
        found = _UNSPEAKABLE.search(part)
        if found is not None:
            what = "a lone surrogate" if found.group() >= "\ud800" else "a control character"
            raise JsonMalformed(reason=f"a string holds {what}")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield name
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _fraction(text: str) -> Number:
    if len(text) > NUMBER_CHARS_MAX:
        raise JsonMalformed(reason="a number has too many digits")
    return Number(text)


def _integer(text: str) -> int:
    if len(text) > NUMBER_CHARS_MAX:
        raise JsonMalformed(reason="a number has too many digits")
    return int(text)


def _constant(name: str) -> object:
    raise JsonMalformed(reason=f"{name} is not a number")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonMalformed(reason="a member appears twice")
    return members


_decode: Final = json.JSONDecoder(
    parse_float=_fraction,
    parse_int=_integer,
    parse_constant=_constant,
    object_pairs_hook=_members,
).decode
