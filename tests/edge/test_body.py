"""Reading bodies: size, depth, strictness, and numbers kept as written (spec §1.4)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.core.errors import BodyTooDeep, BodyTooLarge, JsonMalformed
from settlement.edge.http.body import (
    BODY_BYTES_MAX,
    DEPTH_MAX,
    Number,
    parse_object,
    read_bounded,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def read(*parts: bytes, announced: int | None = None) -> bytes:
    return asyncio.run(read_bounded(chunks(*parts), announced))


def test_a_body_up_to_the_limit_is_read() -> None:
    assert len(read(bytes(BODY_BYTES_MAX))) == BODY_BYTES_MAX
    assert read(b"ab", b"", b"c") == b"abc"


def test_a_body_above_the_limit_is_refused() -> None:
    with pytest.raises(BodyTooLarge):
        read(bytes(BODY_BYTES_MAX), b"x")


def test_reading_stops_at_the_limit() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(64 * 1024)

    with pytest.raises(BodyTooLarge):
        asyncio.run(read_bounded(endless(), None))
    assert taken <= BODY_BYTES_MAX // (64 * 1024) + 1


def test_an_announced_size_is_refused_before_reading() -> None:
    taken = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal taken
        taken += 1
        yield b"x"

    with pytest.raises(BodyTooLarge):
        asyncio.run(read_bounded(counted(), BODY_BYTES_MAX + 1))
    assert taken == 0


@pytest.mark.parametrize("empty", [b"", b"  ", b"\n\t ", b"{}"])
def test_an_empty_body_is_an_empty_object(empty: bytes) -> None:
    assert parse_object(empty) == {}


MALFORMED = {
    "cut": b'{"a": 1',
    "trailing": b'{"a": 1} x',
    "a list": b"[]",
    "a string": b'"x"',
    "a number": b"1",
    "null": b"null",
    "two objects": b"{}{}",
    "single quotes": b"{'a': 1}",
    "comment": b"{} // no",
    "not UTF-8": b'{"a": "\xff"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": Infinity}',
    "-Infinity": b'{"a": [-Infinity]}',
    "a duplicate": b'{"a": 1, "a": 1}',
    "a duplicate below": b'{"a": {"b": 1, "b": 2}}',
    "a duplicate by escape": b'{"a": 1, "\\u0061": 1}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "a lone low surrogate": b'{"a": "x\\udc00y"}',
    "a surrogate in a name": b'{"\\ud800": 1}',
    "surrogates the wrong way": b'{"a": "\\udc00\\ud800"}',
    "NUL": b'{"a": "\\u0000"}',
    "a raw control": b'{"a": "\x01"}',
    "a raw tab": b'{"a": "\t"}',
    "escape": b'{"a": "\\u001b[31m"}',
    "carriage return": b'{"a": "\\r\\n"}',
    "delete": b'{"a": "\x7f"}',
    "C1": '{"a": "\u0085"}'.encode(),
    "a control in a name": b'{"\\u0007": 1}',
    "a control deep down": b'{"a": [{"b": ["\\u0000"]}]}',
    "a leading zero": b'{"a": 01}',
    "a plus sign": b'{"a": +1}',
    "hex": b'{"a": 0x10}',
    "too many digits": b'{"a": ' + b"9" * 500 + b"}",
    "too many fraction digits": b'{"a": 0.' + b"9" * 500 + b"}",
    "an endless exponent": b'{"a": 1e99999999999999999999}',
}


@pytest.mark.parametrize("why", MALFORMED)
def test_what_is_not_acceptable_json_is_refused(why: str) -> None:
    with pytest.raises(JsonMalformed):
        parse_object(MALFORMED[why])


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    inner = depth - 1
    return ('{"a": ' + opening * inner + closing * inner + "}").encode()


def test_nesting_is_bounded() -> None:
    parse_object(nested(DEPTH_MAX))
    with pytest.raises(BodyTooDeep):
        parse_object(nested(DEPTH_MAX + 1))
    with pytest.raises(BodyTooDeep):
        parse_object(nested(100_000))
    with pytest.raises(BodyTooDeep):
        parse_object(b'{"a":' * 50_000)


def test_brackets_in_strings_are_not_nesting() -> None:
    text = "[{" * 1000 + '\\"' + "]]"
    assert parse_object(('{"a": "' + text + '"}').encode())


def test_a_string_without_an_end_costs_its_length_and_not_its_square() -> None:
    """Catches an expression that looks for the end from every quote anew: one body of 256 KiB
    without a key then holds the whole process for minutes. Sixteen times the length may cost about
    sixteen times as much, where the square would be 256 times.
    """

    def cost(quotes: int) -> float:
        body = ("[]" * 33 + '"' + '\\"' * quotes).encode()
        best = float("inf")
        for _ in range(5):
            begun = time.process_time()
            with pytest.raises(JsonMalformed):
                parse_object(body)
            best = min(best, time.process_time() - begun)
        return best

    assert cost(64_000) < 80 * cost(4_000)


def test_wide_is_not_deep() -> None:
    assert len(parse_object(json.dumps({"a": [[]] * 5000}).encode())["a"]) == 5000


@pytest.mark.parametrize(
    "text", ["99.0", "99.00", "1e2", "1E-7", "0.10", "-0.0", "123456789.123456789"]
)
def test_a_number_with_a_fraction_keeps_its_text(text: str) -> None:
    value = parse_object(f'{{"a": {text}}}'.encode())["a"]
    assert isinstance(value, Number)
    assert value.text == text
    assert value == Decimal(text)


def test_an_integer_is_an_int() -> None:
    found = parse_object(b'{"a": 9007199254740993, "b": -1, "c": 0}')
    assert found == {"a": 9007199254740993, "b": -1, "c": 0}
    assert all(type(value) is int for value in found.values())


def test_tab_and_newline_are_text() -> None:
    assert parse_object(b'{"a": "x\\ty\\nz"}') == {"a": "x\ty\nz"}


def test_characters_beyond_the_basic_plane_are_text() -> None:
    assert parse_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
    assert parse_object('{"é": "€"}'.encode()) == {"é": "€"}


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXT, VALUES, max_size=5), st.booleans())
def test_what_is_written_is_what_is_read(members: dict[str, Any], ascii_only: bool) -> None:  # noqa: FBT001  # drawn by hypothesis
    assert parse_object(json.dumps(members, ensure_ascii=ascii_only).encode()) == members


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(JsonMalformed, BodyTooDeep):
        assert isinstance(parse_object(raw), dict)
