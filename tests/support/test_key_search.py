"""The search for keys finds them: a search that finds nothing anywhere would pass every test."""

from __future__ import annotations

import base64

import pytest

from tests.support.key_search import assert_no_keys, find_keys_in, forms_of

KEY = "a2a_0123456789abcdef_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2xOdCO"
SECRET = bytes(range(32))


@pytest.mark.parametrize(
    "blob",
    [
        KEY.encode(),
        b"x" + KEY[21:64].encode() + b"y",
        SECRET,
        SECRET.hex().encode(),
        KEY.encode().hex().upper().encode(),
        *(base64.b64encode(b"z" * n + KEY.encode() + b"tail") for n in range(5)),
        *(base64.urlsafe_b64encode(b"z" * n + SECRET) for n in range(5)),
    ],
)
def test_a_key_is_found_in_every_form(blob: bytes) -> None:
    assert find_keys_in([KEY], {"blob": b"before " + blob + b" after"})
    with pytest.raises(AssertionError):
        assert_no_keys([KEY], {"blob": blob})


def test_what_may_be_seen_is_not_found() -> None:
    digest = b"ad63186d736325cf0962c755441049ca0f7b15a85b3e63fb7f1d5bbe8ac0b49d"
    assert_no_keys([KEY], {"row": b"a2a_0123456789abcdef " + digest})
    assert forms_of(KEY)["raw"] == SECRET
    with pytest.raises(AssertionError):
        assert_no_keys([KEY], {"empty": b""})
