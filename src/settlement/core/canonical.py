"""Byte forms that get hashed: J, K, compact JSON, the framed hash F, and the event template.

Guarantees: one value has one byte form; NaN, Infinity, lone surrogates, binary numbers and keys
that are no strings are refused, never coerced. A number that was written with a fraction or an
exponent is a `Decimal` here and prints the way Python prints it (`99.0`, `1e-05`).
The template forms equal the encoder's byte for byte; a property test holds them together.
Does not: choose which members a hash covers - `hashes.py` does.

Spec §2, §2.2, contract §4.2. Change colour: red (FORMAT).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Final, TypeAlias

from settlement.core.errors import CanonicalForm

#: What a JSON document is once read. Sequences are lists; a Decimal is a number with a fraction.
Json: TypeAlias = (
    "str | int | Decimal | bool | list[Json] | tuple[Json, ...] | Mapping[str, Json] | None"
)

K_INTEGER_MAX: Final = 2**53 - 1
DEPTH_MAX: Final = 64
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# Far beyond any money or score, far below where int() and str() refuse or crawl.
_DIGITS_MAX: Final = 400
_SURROGATE_ESCAPE: Final = "\\ud"
# json.dumps builds an encoder per call for any option; one built once is the same encoder.
_encode: Final = json.JSONEncoder(sort_keys=True).encode
_encode_compact: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_encode_k: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False
).encode


def number_text(number: Decimal) -> str:
    """Print a decimal the way Python prints the nearest binary number: `99.0`, `0.8`, `1e-05`.

    Raises CanonicalForm for NaN, Infinity and what is too large to be a finite one.
    """
    return json.dumps(_binary(number))


def _binary(number: Decimal) -> object:
    # The exponent form makes the reader choose the binary type even for Decimal("99"); reading
    # decimal text rounds correctly, so the shortest repr comes back out.
    if not number.is_finite():
        raise CanonicalForm(reason="a number is not finite")
    value: object = json.loads(f"{number:E}")
    if repr(value).endswith("inf"):
        raise CanonicalForm(reason="a number is too large")
    return value


def j_text(value: Json) -> str:
    """J(x) of the spec: `json.dumps(x, sort_keys=True)` with its default separators, ASCII only."""
    return _encode(_plain(value, 0))


def compact_text(value: Json) -> str:
    """As J but with separators `,` and `:`; the form of bundle hashes and Merkle leaves."""
    return _encode_compact(_plain(value, 0))


def pretty_text(value: Json) -> str:
    """For files people read: members in the given order, two spaces, a newline at the end."""
    return json.dumps(_plain(value, 0), indent=2) + "\n"


def _plain(value: object, depth: int) -> object:
    """Copy the value with decimals made printable; refuse what has no JSON form."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return check_text(value)
    if isinstance(value, Decimal):
        return _binary(value)
    if depth >= DEPTH_MAX:
        raise CanonicalForm(reason="nested too deeply")
    if isinstance(value, Mapping):
        return {_key(name): _plain(part, depth + 1) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, depth + 1) for part in value]
    raise CanonicalForm(reason=f"{type(value).__name__} has no exact JSON form")


def _key(name: object) -> str:
    if not isinstance(name, str):
        raise CanonicalForm(reason="a member name is not a string")
    return check_text(name)


def check_text(text: str) -> str:
    """Refuse lone surrogates: such text has no UTF-8 form, so no bytes to hash."""
    if not text.isascii() and _LONE_SURROGATE.search(text):
        raise CanonicalForm(reason="text with a lone surrogate")
    return text


def k_bytes(value: Json) -> bytes:
    """K(x) of the spec: RFC 8785 on strings, integers below 2**53, booleans, null, lists, objects.

    Object keys are ASCII, so sorting by code point and by UTF-16 unit agree. Refuses the rest.
    """
    _check_k(value, 0)
    return _encode_k(value).encode()


def _check_k(value: object, depth: int) -> None:
    if isinstance(value, int):
        if not -K_INTEGER_MAX <= value <= K_INTEGER_MAX:
            raise CanonicalForm(reason="an integer is beyond 2^53-1")
    elif isinstance(value, str):
        check_text(value)
    elif depth >= DEPTH_MAX:
        raise CanonicalForm(reason="nested too deeply")
    elif isinstance(value, dict):
        _check_k_names(value)
        for part in value.values():
            _check_k(part, depth + 1)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _check_k(part, depth + 1)
    elif value is not None:
        raise CanonicalForm(reason=f"{type(value).__name__} has no canonical form")


def _check_k_names(members: Mapping[object, object]) -> None:
    if not all(_key(name).isascii() for name in members):
        raise CanonicalForm(reason="a member name is not ASCII")


def k_string(text: str) -> str:
    """Write one string as K does, quotes included, for templates."""
    return encode_basestring(check_text(text))


def j_string(text: str) -> str:
    """Write one string as J does, quotes included, for templates."""
    return encode_basestring_ascii(check_text(text))


def framed_hash(domain: str, *fields: str | bytes) -> str:
    """F(domain; f1..fn): SHA-256 over the domain, a zero byte, then each field behind its length.

    A plain name stands for `settlement/<name>/v1`; a domain with a slash is taken as written.
    """
    full = domain if "/" in domain else f"settlement/{domain}/v1"
    digest = hashlib.sha256(full.encode("ascii") + b"\x00")
    for field in fields:
        data = check_text(field).encode() if isinstance(field, str) else field
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()


def sha256_hex(data: str | bytes) -> str:
    """SHA-256 of text (as UTF-8) or bytes, lower-case hex."""
    raw = check_text(data).encode() if isinstance(data, str) else data
    return hashlib.sha256(raw).hexdigest()


def load_json(text: str | bytes) -> Json:
    """Read JSON exactly: fractions as Decimal, duplicate members and NaN refused.

    Raises CanonicalForm. What it returns prints back to the same bytes through J.
    """
    try:
        value: Json = json.loads(
            text,
            parse_float=_read_fraction,
            parse_int=_read_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=_read_object,
        )
    except (ValueError, RecursionError) as error:
        raise CanonicalForm(reason="not JSON") from error
    _plain(value, 0)
    return value


def _read_fraction(digits: str) -> Decimal:
    if len(digits) > _DIGITS_MAX:
        raise CanonicalForm(reason="a number has too many digits")
    return Decimal(digits)


def _read_integer(digits: str) -> int:
    if len(digits) > _DIGITS_MAX:
        raise CanonicalForm(reason="a number has too many digits")
    return int(digits)


def _refuse_constant(name: str) -> object:
    raise CanonicalForm(reason=f"{name} is not a number")


def _read_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise CanonicalForm(reason="a member appears twice")
    return members


def check_exact(value: Json) -> None:
    """Refuse any number that is not an integer; event payloads hold none (spec §2.3)."""
    if isinstance(value, Decimal):
        raise CanonicalForm(reason="a number with a fraction; send it as text")
    if isinstance(value, Mapping):
        for part in value.values():
            check_exact(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            check_exact(part)
    elif not (value is None or isinstance(value, (str, int))):
        raise CanonicalForm(reason=f"{type(value).__name__} has no exact JSON form")


def payload_text(payload: Mapping[str, Json]) -> str:
    """J of a payload, written directly; two to three times as quick as the encoder."""
    text = _write(payload, 0)
    if _SURROGATE_ESCAPE in text:
        # Also half of every character beyond U+FFFF; only now is it worth looking closely.
        _plain(payload, 0)
    return text


def _write(value: object, depth: int) -> str:
    kind = type(value)
    if kind is str:
        return encode_basestring_ascii(value)  # type: ignore[arg-type]  # kind is str
    if kind is int:
        return str(value)
    if value is None:
        return "null"
    if kind is dict and depth < DEPTH_MAX:
        members: dict[str, object] = value  # type: ignore[assignment]  # names are tested below
        try:
            return (
                "{"
                + ", ".join(
                    [
                        f"{encode_basestring_ascii(name)}: {_write(members[name], depth + 1)}"
                        for name in sorted(members)
                    ]
                )
                + "}"
            )
        except TypeError as error:
            raise CanonicalForm(reason="a member name is not a string") from error
    if kind is list and depth < DEPTH_MAX:
        rows: list[object] = value  # type: ignore[assignment]  # kind is list
        return "[" + ", ".join([_write(row, depth + 1) for row in rows]) + "]"
    # Booleans, decimals, subclasses (ids, enums) and what must be refused.
    return _encode(_plain(value, depth))


class EventTemplate:
    """The text an event is hashed over, assembled from parts escaped once.

    The events of one operation share deal, actor and time; only id, type, payload and previous
    hash change. `text` equals J of the seven members, at about a sixth of its cost.
    """

    __slots__ = ("_after_payload", "_head")

    def __init__(self, *, deal_id: str, actor_id: str, timestamp: str) -> None:
        self._head = (
            f'{{"actor_id": {j_string(actor_id)}, "deal_id": {j_string(deal_id)}, "event_id": '
        )
        self._after_payload = f', "timestamp": {j_string(timestamp)}}}'

    def text(self, event_id: str, event_type: str, payload: str, prev_hash: str) -> str:
        """Assemble the text; `payload` is already J text, made by `payload_text` or `j_text`."""
        text = (
            f'{self._head}{encode_basestring_ascii(event_id)}, "event_type": '
            f'{encode_basestring_ascii(event_type)}, "payload": {payload}, "prev_hash": '
            f"{encode_basestring_ascii(prev_hash)}{self._after_payload}"
        )
        if _SURROGATE_ESCAPE in text:
            check_text(event_id + "|" + event_type + "|" + prev_hash)
        return text

    def hash(self, event_id: str, event_type: str, payload: str, prev_hash: str) -> str:
        """The event hash H2 of the assembled text."""
        text = self.text(event_id, event_type, payload, prev_hash)
        return hashlib.sha256(text.encode("ascii")).hexdigest()


def event_json(record: Mapping[str, Json]) -> str:
    """J of an event's seven members, through the template; payload and prev_hash may be absent.

    Members beyond the seven are not hashed (spec H2); a missing one of the other five is refused.
    """
    names = ("event_id", "event_type", "deal_id", "actor_id", "timestamp")
    found = [record.get(name) for name in names]
    prev_hash = record.get("prev_hash", "")
    texts = [part for part in (*found, prev_hash) if isinstance(part, str)]
    if len(texts) != len(names) + 1:
        raise CanonicalForm(reason="an event member is missing or is not text")
    event_id, event_type, deal_id, actor_id, timestamp, prev = texts
    payload = record.get("payload", {})
    if not isinstance(payload, Mapping):
        raise CanonicalForm(reason="an event payload is not an object")
    template = EventTemplate(deal_id=deal_id, actor_id=actor_id, timestamp=timestamp)
    return template.text(event_id, event_type, payload_text(payload), prev)
