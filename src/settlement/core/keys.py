"""The text form of an API key: format, check digits, digest.

Guarantees: a key that was mistyped, cut or invented fails its CRC before anything is read from a
store; what is stored is the SHA-256 of the whole key, compared in constant time.
Does not: draw random bytes, store or look up keys, or know status, scopes and grace - those belong
to the service, by database time.

Spec §12.1. Change colour: red.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass
from typing import Final

from settlement.core.errors import KeyInvalid

KEY_PREFIX: Final = "a2a_"
KEY_ID_HEX: Final = 16
SECRET_BYTES: Final = 32
_SECRET_CHARS: Final = 43
_CHECK_CHARS: Final = 6
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUE: Final = {char: value for value, char in enumerate(_ALPHABET)}
_KEY: Final = re.compile(
    rf"{KEY_PREFIX}([0-9a-f]{{{KEY_ID_HEX}}})_([0-9A-Za-z]{{{_SECRET_CHARS}}})"
    rf"([0-9A-Za-z]{{{_CHECK_CHARS}}})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedKey:
    """A key whose check digits are right. Its digest still has to be compared."""

    key_id: str
    digest: str

    @property
    def lookup_prefix(self) -> str:
        """What the key's row is found by: `a2a_<id>`. Safe to show and to log."""
        return KEY_PREFIX + self.key_id


def base62(number: int, width: int) -> str:
    """Write a number in base 62 (0-9A-Za-z), padded with zeros to `width`."""
    digits = ""
    while number:
        number, value = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[value] + digits
    assert len(digits) <= width, "the number does not fit"
    return digits.rjust(width, _ALPHABET[0])


def _unbase62(digits: str) -> int:
    number = 0
    for char in digits:
        number = number * len(_ALPHABET) + _VALUE[char]
    return number


def format_key(key_id: str, secret: bytes) -> str:
    """Build the key text from a 16-hex id and 32 random bytes. Show once; store only the digest."""
    assert re.fullmatch(rf"[0-9a-f]{{{KEY_ID_HEX}}}", key_id), "a key id is 16 hex"
    assert len(secret) == SECRET_BYTES, "a key secret is 32 bytes"
    body = f"{KEY_PREFIX}{key_id}_{base62(int.from_bytes(secret, 'big'), _SECRET_CHARS)}"
    return body + _check_digits(body)


def _check_digits(body: str) -> str:
    return base62(zlib.crc32(body.encode("ascii")), _CHECK_CHARS)


def parse_key(text: str) -> ParsedKey:
    """Check shape and CRC; raises KeyInvalid, the same error as for an unknown key."""
    match = _KEY.fullmatch(text)
    # The digits first: they stop nearly everything that was invented, at a microsecond each.
    if match is None or match[3] != _check_digits(text[:-_CHECK_CHARS]):
        raise KeyInvalid()
    if _unbase62(match[2]) >= 1 << (8 * SECRET_BYTES):
        raise KeyInvalid()
    return ParsedKey(key_id=match[1], digest=key_digest(text))


def holds_key(text: str) -> bool:
    """Tell whether something of a key's form stands in the text."""
    return _KEY.search(text) is not None


def key_digest(text: str) -> str:
    """SHA-256 of the whole key, the only form that is stored."""
    return hashlib.sha256(text.encode()).hexdigest()


def same_digest(stored: str, shown: str) -> bool:
    """Compare two digests in constant time."""
    return hmac.compare_digest(stored.encode(), shown.encode())
