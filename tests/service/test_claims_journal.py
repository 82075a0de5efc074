"""The journal's bytes: what a crash may leave is cut, whatever else differs is damage."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.core.errors import DatabaseUnavailable, LeaseLost, StoreCorrupt
from settlement.service.claims import FileLockBackend
from settlement.service.claims.journal import Journal, encode
from settlement.service.claims.records import Misfit, State

if TYPE_CHECKING:
    from collections.abc import Sequence


class Hand:
    """A clock that the test sets."""

    def __init__(self, us: int = 1_800_000_000_000_000) -> None:
        self.us = us

    def now_us(self) -> int:
        return self.us


def opened(directory: Path, clock: Hand | None = None) -> FileLockBackend:
    return FileLockBackend(directory, clock=clock or Hand(), uptime=lambda: None)


def state_of(directory: Path) -> State:
    """What the lines add up to, read by nobody who has read them before."""
    state = State()
    with Journal(directory).exclusive() as (_, recs):
        for rec in recs:
            state.apply(rec)
    return state


def file_of(directory: Path) -> Path:
    return directory / "claims.jsonl"


KEYS = st.sampled_from(["a", "b", "é\n"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**53 - 1) | st.text('aé"\\\n\u2028', max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("xy"), inner, max_size=2),
    max_leaves=4,
)
CALLS = st.one_of(
    st.tuples(st.just("claim"), KEYS, st.integers(0, 3)),
    st.tuples(st.just("put"), KEYS, VALUES),
    st.tuples(st.just("release"), KEYS, st.none()),
    st.tuples(st.just("wait"), KEYS, st.sampled_from([1, 2, 86_400])),
    st.tuples(st.just("recover"), KEYS, st.none()),
    st.tuples(st.just("cleanup"), KEYS, st.none()),
)


def do_all(directory: Path, calls: Sequence[tuple[str, str, Any]]) -> None:
    clock = Hand()
    backend = opened(directory, clock)
    for what, key, value in calls:
        try:
            if what == "claim":
                backend.claim_or_get(key, value)
            elif what == "put":
                backend.put(key, value)
            elif what == "release":
                backend.release(key)
            elif what == "wait":
                clock.us += value * 1_000_000
            elif what == "recover":
                backend.recover()
            else:
                backend.cleanup_expired()
        except LeaseLost:
            pass
    backend.claim_or_get("last", 1)  # never empty, and its last line is no rewrite's


@settings(max_examples=12, deadline=None)
@given(calls=st.lists(CALLS, max_size=12))
def test_a_journal_cut_in_its_last_line_is_as_before_that_line(
    calls: list[tuple[str, str, Any]],
) -> None:
    """Broken build: the tail is kept and the next line is written behind it; the tail is damage."""
    with tempfile.TemporaryDirectory() as first:
        directory = Path(first)
        do_all(directory, calls)
        data = file_of(directory).read_bytes()
        start = data.rfind(b"\n", 0, -1) + 1
        file_of(directory).write_bytes(data[:start])
        wanted = state_of(directory)
        for cut in range(start, len(data)):
            file_of(directory).write_bytes(data[:cut])
            assert state_of(directory) == wanted
            assert file_of(directory).read_bytes() == data[:start]


@settings(max_examples=100, deadline=None)
@given(
    calls=st.lists(CALLS, max_size=8),
    at=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
)
def test_any_other_changed_byte_is_damage(
    calls: list[tuple[str, str, Any]], at: float, flip: int
) -> None:
    """Broken build: the checksum is not compared; only the record is covered, not its number; a
    damaged last line end is taken for a torn line, so an answered claim is forgotten."""
    with tempfile.TemporaryDirectory() as first:
        directory = Path(first)
        do_all(directory, calls)
        data = bytearray(file_of(directory).read_bytes())
        data[int(at * len(data))] ^= flip
        file_of(directory).write_bytes(data)
        with pytest.raises(StoreCorrupt):
            state_of(directory)
        assert file_of(directory).read_bytes() == data  # nothing was repaired away


@pytest.mark.parametrize("flip", [1, 0x0A, 0x80])
def test_a_damaged_end_of_the_last_line_is_damage(flip: int, tmp_path: Path) -> None:
    """Broken build: whatever has no line end is cut."""
    opened(tmp_path).claim_or_get("a")
    data = bytearray(file_of(tmp_path).read_bytes())
    data[-1] ^= flip
    file_of(tmp_path).write_bytes(data)
    with pytest.raises(StoreCorrupt, match="the end of line 1"):
        opened(tmp_path).get("a")


def test_lines_taken_out_or_put_twice_are_damage(tmp_path: Path) -> None:
    """Broken build: the numbers of lines are not compared."""
    backend = opened(tmp_path)
    for key in "abc":
        backend.claim_or_get(key)
    one, two, three = file_of(tmp_path).read_bytes().splitlines(keepends=True)
    for lines in ([two, three], [one, three], [one, one], [one, three, two], [one, two, two]):
        file_of(tmp_path).write_bytes(b"".join(lines))
        with pytest.raises(StoreCorrupt, match="has number"):
            opened(tmp_path).stats()


def test_a_running_backend_notices_a_journal_that_went_back(tmp_path: Path) -> None:
    """Broken build: a replaced file is read anew without a look at what was known."""
    backend = opened(tmp_path)
    backend.claim_or_get("a")
    old = file_of(tmp_path).read_bytes()
    backend.claim_or_get("b")
    new = file_of(tmp_path).read_bytes()

    os.truncate(file_of(tmp_path), len(old))
    with pytest.raises(StoreCorrupt, match="shorter"):
        backend.get("a")

    file_of(tmp_path).write_bytes(new)
    backend = opened(tmp_path)
    assert backend.has("b")
    file_of(tmp_path).rename(tmp_path / "aside")
    file_of(tmp_path).write_bytes(old)
    with pytest.raises(StoreCorrupt, match="older"):
        backend.get("a")

    backend = opened(tmp_path)
    assert backend.has("a")
    file_of(tmp_path).unlink()
    with pytest.raises(StoreCorrupt, match="gone"):
        backend.get("a")


@pytest.mark.parametrize(
    ("rec", "why"),
    [
        ({"op": "claim", "key": "a", "owner": "x", "fence": 1, "expires_us": 9}, "at_us"),
        ({"op": "seize", "at_us": 1}, "op"),
        ({"op": "release", "at_us": 1, "key": "a", "fence": 1}, "did not hold"),
        (
            {"op": "claim", "at_us": 1, "key": "a", "owner": "x", "fence": 0, "expires_us": 9},
            "grow",
        ),
        ({"op": "epoch", "at_us": 1, "epoch": 0}, "grow"),
        ({"op": "epoch", "at_us": 1, "epoch": 1, "more": 1}, "more"),
    ],
)
def test_a_line_that_does_not_follow_is_damage(
    rec: dict[str, Any], why: str, tmp_path: Path
) -> None:
    """Broken build: records are applied without a look at the state they meet."""
    file_of(tmp_path).write_bytes(encode(1, rec))
    with pytest.raises(StoreCorrupt, match=why):
        opened(tmp_path).stats()


def test_time_in_the_journal_never_goes_back() -> None:
    """Broken build: the time of a record is not compared with the one before."""
    state = State()
    state.apply({"op": "epoch", "at_us": 5, "epoch": 1})
    with pytest.raises(Misfit, match="time went back"):
        state.apply({"op": "epoch", "at_us": 4, "epoch": 2})


def test_a_full_disk_answers_nothing_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: what a failed write left is not taken back."""
    backend = opened(tmp_path)
    backend.claim_or_get("a")
    before = file_of(tmp_path).read_bytes()

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DatabaseUnavailable, match="No space left"):
            backend.claim_or_get("b")
    assert file_of(tmp_path).read_bytes() == before
    assert backend.claim_or_get("b") == (True, None)
    assert opened(tmp_path).has("b")
