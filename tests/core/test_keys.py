"""API keys: the published vector, and that no damaged key gets past its check digits."""

from __future__ import annotations

import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.core import keys
from settlement.core.errors import KeyInvalid
from tests.support.tree import ROOT

KEY = keys.format_key("0123456789abcdef", bytes(range(32)))
key_ids = st.text("0123456789abcdef", min_size=16, max_size=16)
secrets = st.binary(min_size=32, max_size=32)


@given(key_ids, secrets)
def test_parsing_undoes_formatting(key_id: str, secret: bytes) -> None:
    """Catches padding lost from a secret that starts with zero bytes."""
    text = keys.format_key(key_id, secret)
    parsed = keys.parse_key(text)
    assert (parsed.key_id, parsed.lookup_prefix) == (key_id, f"a2a_{key_id}")
    assert parsed.digest == keys.key_digest(text)
    assert len(text) == 4 + 16 + 1 + 43 + 6


@given(st.integers(0, len(KEY) - 1), st.characters())
def test_any_one_changed_character_is_refused(at: int, char: str) -> None:
    """Catches a CRC that does not cover the id or is not compared."""
    changed = KEY[:at] + char + KEY[at + 1 :]
    if changed != KEY:
        with pytest.raises(KeyInvalid):
            keys.parse_key(changed)


@pytest.mark.parametrize("text", ["", "a2a_", KEY[:-1], KEY + "0", " " + KEY, KEY + "\n", KEY * 2])
def test_cut_or_padded_keys_are_refused(text: str) -> None:
    """Catches a prefix match in place of a full one."""
    with pytest.raises(KeyInvalid):
        keys.parse_key(text)


def test_a_secret_beyond_32_bytes_is_refused() -> None:
    """Catches a second spelling of the number space: 43 digits hold more than 256 bits."""
    body = "a2a_0123456789abcdef_" + "z" * 43
    with pytest.raises(KeyInvalid):
        keys.parse_key(body + keys.base62(zlib.crc32(body.encode()), 6))


def test_digests_compare_whole() -> None:
    """Catches a comparison that stops at a common prefix."""
    digest = keys.key_digest(KEY)
    assert keys.same_digest(digest, keys.key_digest(KEY))
    assert not keys.same_digest(digest, digest[:-1])
    assert not keys.same_digest(digest, "é")


@given(st.integers(0, 62**6 - 1))
def test_base62_keeps_order_at_one_width(number: int) -> None:
    """Catches a digit alphabet out of ASCII order."""
    assert len(keys.base62(number, 6)) == 6
    if number:
        assert keys.base62(number - 1, 6) < keys.base62(number, 6)


def published_expression() -> re.Pattern[str]:
    """The expression for secret scanners, as docs/api_keys.md prints it."""
    page = (ROOT / "docs" / "api_keys.md").read_text("utf-8")
    (found,) = re.findall(r"```regex\n(.+?)\n```", page)
    return re.compile(found)


@given(key_ids, secrets)
def test_secret_scanners_find_every_key_by_the_published_expression(
    key_id: str, secret: bytes
) -> None:
    """Catches a page that went stale: a scanner that looks for last year's form finds nothing."""
    text = keys.format_key(key_id, secret)
    scanner = published_expression()
    assert scanner.fullmatch(text)
    for line in (f'key = "{text}"', f"X-API-Key: {text}\n", f"?key={text}&x=1", f"<b>{text}</b>"):
        (found,) = scanner.findall(line)
        assert found == text


def test_secret_scanners_find_nothing_else_of_ours() -> None:
    scanner = published_expression()
    for text in (KEY[:20], KEY[:-1], KEY + "0", "key_" + "0" * 32, "quote_" + "0" * 32):
        assert not scanner.search(text)
