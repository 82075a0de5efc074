"""Canonical forms: equal to the published encoder's bytes, and refusing what has no one form."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.core import canonical
from settlement.core.errors import CanonicalForm

if TYPE_CHECKING:
    from settlement.core.canonical import Json

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.one_of(
    text, st.integers(min_value=-(2**70), max_value=2**70), st.booleans(), st.none()
)
binary = st.floats(allow_nan=False, allow_infinity=False)


def _tree(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
        max_leaves=12,
    )


exact = _tree(scalars)
objects = st.dictionaries(text, exact, max_size=6)
documents = st.dictionaries(text, _tree(scalars | binary), max_size=6)


@given(documents)
def test_j_and_compact_equal_the_encoder(document: dict[str, Any]) -> None:
    """Catches a decimal printed as written (1.50, 1E-7) in place of as Python prints it."""
    read = canonical.load_json(json.dumps(document))
    assert canonical.j_text(read) == json.dumps(document, sort_keys=True)
    assert canonical.compact_text(read) == json.dumps(
        document, sort_keys=True, separators=(",", ":")
    )


@given(binary)
def test_a_number_prints_as_python_prints_it(number: float) -> None:
    """Catches str(Decimal): 1E-7 is not 1e-07."""
    assert canonical.number_text(Decimal(repr(number))) == repr(number)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("99", "99.0"),
        ("99.00", "99.0"),
        ("0.80", "0.8"),
        ("1E-7", "1e-07"),
        ("1e5", "100000.0"),
        ("-0.0", "-0.0"),
        ("1e16", "1e+16"),
        ("5e0", "5.0"),
    ],
)
def test_every_decimal_prints_with_a_fraction(written: str, printed: str) -> None:
    """Catches Decimal("99") printed as the integer it is not."""
    assert canonical.number_text(Decimal(written)) == printed


@given(objects, st.tuples(text, text, text), st.tuples(text, text, text))
def test_the_event_template_equals_the_encoder(
    payload: dict[str, Any], ids: tuple[str, str, str], rest: tuple[str, str, str]
) -> None:
    """Catches a member out of order, an unescaped character, a different separator."""
    record: dict[str, Any] = {
        "event_id": ids[0],
        "event_type": ids[1],
        "deal_id": ids[2],
        "actor_id": rest[0],
        "timestamp": rest[1],
        "payload": payload,
        "prev_hash": rest[2],
    }
    oracle = json.dumps(record, sort_keys=True)
    assert canonical.event_json(record) == oracle
    template = canonical.EventTemplate(deal_id=ids[2], actor_id=rest[0], timestamp=rest[1])
    shown = canonical.payload_text(payload)
    assert template.text(ids[0], ids[1], shown, rest[2]) == oracle
    digest = hashlib.sha256(oracle.encode()).hexdigest()
    assert template.hash(ids[0], ids[1], shown, rest[2]) == digest


def test_an_event_has_defaults_and_needs_five_members() -> None:
    """Catches a missing member hashed as null, and extra members slipping into the hash."""
    record: dict[str, Json] = dict.fromkeys(
        ("event_id", "event_type", "deal_id", "actor_id", "timestamp"), "x"
    )
    whole = canonical.event_json({**record, "payload": {}, "prev_hash": "", "hash": "y"})
    assert canonical.event_json(record) == whole
    for name in record:
        with pytest.raises(CanonicalForm):
            canonical.event_json({key: value for key, value in record.items() if key != name})
    with pytest.raises(CanonicalForm):
        canonical.event_json({**record, "payload": None})


ascii_names = st.text(st.characters(max_codepoint=127), max_size=8)
k_scalars = st.one_of(
    text, st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1), st.booleans(), st.none()
)
k_values = st.recursive(
    k_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ascii_names, inner, max_size=4),
    max_leaves=12,
)


@given(k_values)
def test_k_round_trips_and_has_one_form(value: Any) -> None:
    """Catches two forms of one value: what K wrote reads back and is written the same."""
    form = canonical.k_bytes(value)
    assert json.loads(form) == value
    assert canonical.k_bytes(json.loads(form)) == form


def test_k_is_rfc_8785_on_strings() -> None:
    """Catches escaped non-ASCII, an escaped slash or DEL, and upper-case escapes."""
    form = canonical.k_bytes({"b": 'é\u20ac/\x7f\x1f\b\f\n\r\t"\\', "a": []})
    assert form == '{"a":[],"b":"é\u20ac/\x7f\\u001f\\b\\f\\n\\r\\t\\"\\\\"}'.encode()


class Unknown:
    """Something no JSON reader makes."""

    def __repr__(self) -> str:
        return "Unknown()"  # without an address: every worker must collect the same names


REFUSED: list[Any] = [
    0.5,
    float("nan"),
    Decimal("NaN"),
    Decimal("Infinity"),
    Decimal("1e400"),
    "\ud800",
    {"\udfff": 1},
    {1: 2},
    {None: 1},
    {"a": [1, {"b": Unknown()}]},
    b"bytes",
    {"set"},
]


@pytest.mark.parametrize("value", REFUSED, ids=repr)
def test_what_has_no_form_is_refused_everywhere(value: Any) -> None:
    """Catches the encoder's own leniency: NaN, number keys, surrogates written as escapes."""
    for form in (canonical.j_text, canonical.compact_text, canonical.k_bytes):
        with pytest.raises(CanonicalForm):
            form(value)
        with pytest.raises(CanonicalForm):
            form({"x": [value]})
    with pytest.raises(CanonicalForm):
        canonical.payload_text({"x": value})


@pytest.mark.parametrize("value", [2**53, -(2**53), Decimal(1), {"é": 1}], ids=repr)
def test_k_refuses_more(value: Any) -> None:
    """Catches an integer a JSON reader would round, and keys whose order readers dispute."""
    with pytest.raises(CanonicalForm):
        canonical.k_bytes(value)


def test_depth_is_bounded() -> None:
    """Catches a recursion error escaping in place of a refusal."""
    deep: Json = []
    for _ in range(2000):
        deep = [deep]
    for form in (canonical.j_text, canonical.k_bytes):
        with pytest.raises(CanonicalForm):
            form(deep)
    with pytest.raises(CanonicalForm):
        canonical.payload_text({"x": deep})
    with pytest.raises(CanonicalForm):
        canonical.load_json("[" * 100_000)


def test_templates_refuse_lone_surrogates() -> None:
    """Catches the escape of half a character hashed as if it were text."""
    template = canonical.EventTemplate(deal_id="d", actor_id="a", timestamp="t")
    assert template.text("😀", "E", "{}", "")
    with pytest.raises(CanonicalForm):
        template.text("\ud83d", "E", "{}", "")
    with pytest.raises(CanonicalForm):
        canonical.EventTemplate(deal_id="\ud83d", actor_id="a", timestamp="t")
    assert canonical.payload_text({"x": "😀"}) == json.dumps({"x": "😀"})


@pytest.mark.parametrize(
    "source",
    [
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1, "a": 1}',
        '{"a": "\\ud800"}',
        "{",
        "",
        '{"a": 1e999}',
        f'{{"a": {"9" * 5000}}}',
        '{"a": {"b": 1, "b": 2}}',
    ],
)
def test_reading_is_strict(source: str) -> None:
    """Catches the last of two equal members winning, and numbers that print as something else."""
    with pytest.raises(CanonicalForm):
        canonical.load_json(source)


@pytest.mark.parametrize("value", [Decimal("1.0"), [Decimal(1)], {"a": {"b": Decimal("0.5")}}, 0.5])
def test_payloads_hold_integers_only(value: Any) -> None:
    """Catches a fraction in an event's payload, whose print another reader may not repeat."""
    with pytest.raises(CanonicalForm):
        canonical.check_exact({"x": value})
    canonical.check_exact({"x": [1, "1.0", True, None, {"y": -1}]})


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_framing_tells_field_lists_apart(one: list[bytes], two: list[bytes]) -> None:
    """Catches fields joined without their lengths: (a, bc) and (ab, c) would be one."""
    same = canonical.framed_hash("test", *one) == canonical.framed_hash("test", *two)
    assert same == (one == two)


def test_domains_tell_uses_apart() -> None:
    """Catches a domain left out of the hash, and a full domain wrapped again."""
    assert canonical.framed_hash("test", "x") == canonical.framed_hash("settlement/test/v1", "x")
    assert canonical.framed_hash("test", "x") != canonical.framed_hash("proof", "x")
    expected = hashlib.sha256(b"settle/scope_lock/v2\x00\x00\x00\x00\x02\xc3\xa9").hexdigest()
    assert canonical.framed_hash("settle/scope_lock/v2", "é") == expected
