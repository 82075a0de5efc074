"""Ids: only the documented shape parses; new ones are real UUIDv7s and rise."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.core import ids
from settlement.core.errors import MalformedId

BODY = "0123456789abcdef" * 2
KINDS = sorted(ids.Id.__subclasses__(), key=lambda kind: kind.prefix)
OURS = [kind for kind in KINDS if kind.body is ids.Id.body]


def test_no_two_kinds_share_a_prefix() -> None:
    """Catches a copied class whose prefix was not changed."""
    assert len({kind.prefix for kind in KINDS}) == len(KINDS) >= 20


@pytest.mark.parametrize("kind", OURS)
def test_our_ids_have_one_shape(kind: type[ids.Id]) -> None:
    """Catches a search in place of a full match, and upper case taken for lower."""
    assert kind.parse(kind.prefix + BODY) == kind.prefix + BODY
    assert type(kind.parse(kind.prefix + BODY)) is kind
    for bad in ("", BODY, kind.prefix, kind.prefix + BODY.upper(), kind.prefix + BODY + "0"):
        with pytest.raises(MalformedId):
            kind.parse(bad)
    with pytest.raises(MalformedId):
        kind.parse(kind.prefix + BODY + "\n")


@pytest.mark.parametrize("kind", [ids.DealId, ids.EventId])
def test_callers_may_choose_deal_and_event_ids(kind: type[ids.Id]) -> None:
    """Catches a body that could hold the `|` of composites, or nothing at all."""
    assert kind.parse(kind.prefix + "x" * 64)
    assert kind.parse(kind.prefix + "Aa0_-")
    for body in ("", "x" * 65, "a|b", "a b", "é", "a\n", "a.b"):
        with pytest.raises(MalformedId) as caught:
            kind.parse(kind.prefix + body, "named")
        assert caught.value.field == "named"


def test_names_hashes_and_slugs() -> None:
    """Catches a `|`, a blank or an upper-case slug let through."""
    assert ids.check_name("agent.one@host:1-2_3", "name")
    assert ids.check_hash("A" * 128, "hash")
    assert ids.check_slug("", "vertical") == ""
    for name in ("", "a|b", "a b", "x" * 129, "é", "a\n"):
        with pytest.raises(MalformedId):
            ids.check_name(name, "name")
    for slug in ("A", "a|b", "x" * 65, "a:b", "a\n"):
        with pytest.raises(MalformedId):
            ids.check_slug(slug, "vertical")
    assert ids.is_hex64("0" * 64)
    assert not ids.is_hex64("A" * 64)
    assert ids.system_stream("agent_x") == "sys_agent_x"


@given(st.integers(min_value=0, max_value=2**48 - 1), st.binary(min_size=10, max_size=10))
def test_uuid7_has_its_bits_in_place(unix_ms: int, noise: bytes) -> None:
    """Catches version or variant in the wrong nibble, judged by the standard library."""
    made = uuid.UUID(ids.uuid7_hex(unix_ms, noise))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == unix_ms
    assert made.int & (2**62 - 1) == int.from_bytes(noise, "big") & (2**62 - 1)


@given(st.integers(min_value=0, max_value=2**53), st.binary(min_size=6, max_size=16))
def test_a_source_rises_and_is_uuid7(unix_us: int, seed: bytes) -> None:
    """Catches a counter placed below the seed's bits, which would not sort."""
    source = ids.SequenceIds(unix_us=unix_us, seed=seed)
    made = [ids.TxId.new(source) for _ in range(50)]
    assert made == sorted(set(made))
    for one in made:
        parsed = uuid.UUID(ids.TxId.parse(one).removeprefix("tx_"))
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
        assert parsed.int >> 80 == unix_us // 1000


def test_a_source_rises_past_its_counter() -> None:
    """Catches a counter that wraps: id 2**18 would sort before the first."""
    source = ids.SequenceIds(unix_us=1_767_225_600_999_999, seed=bytes(6))
    last = source.new("")
    for _ in range(2**18 + 2):
        following = source.new("")
        assert following > last
        last = following


def test_later_sources_sort_later_and_seeds_differ() -> None:
    """Catches sub-millisecond time left out, and a seed that is not used."""
    seeds = (b"\xff" * 6, b"\x00" * 6)
    early, late = (ids.SequenceIds(unix_us=1000 + at, seed=seeds[at]) for at in (0, 1))
    assert early.new("") < late.new("")
    one, two = (ids.SequenceIds(unix_us=1000, seed=seed) for seed in seeds)
    assert one.new("") != two.new("")


def test_a_quote_is_all_random() -> None:
    """Catches a guessable quote id: its body is the random bytes and nothing else."""
    assert ids.QuoteId.from_random(bytes(range(16))) == "quote_" + bytes(range(16)).hex()
