"""The signing key's file: made once, kept from others, and what a bad one is called."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from settlement.signing import Ed25519FileSigner, SigningKeyError, verify_ed25519

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_key_is_readable_by_its_owner_only_and_signs(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "log.key"
    signer = Ed25519FileSigner.open_or_create(path, "key_1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    signature = signer.sign(b"head")
    assert verify_ed25519(signer.public_key, b"head", signature)
    assert not verify_ed25519(signer.public_key, b"other", signature)
    assert [entry.name for entry in path.parent.iterdir()] == ["log.key"]


def test_of_many_that_start_together_all_use_one_key(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    with ThreadPoolExecutor(16) as pool:
        keys = set(
            pool.map(
                lambda _: Ed25519FileSigner.open_or_create(path, "key_1").public_key, range(64)
            )
        )
    assert len(keys) == 1


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    Ed25519FileSigner.open_or_create(path, "key_1")
    path.chmod(0o644)
    with pytest.raises(SigningKeyError, match="chmod 600"):
        Ed25519FileSigner(path, "key_1")


def test_a_missing_key_and_a_damaged_one_say_so(tmp_path: Path) -> None:
    with pytest.raises(SigningKeyError, match="there is no key file"):
        Ed25519FileSigner(tmp_path / "none.key", "key_1")
    path = tmp_path / "bad.key"
    path.write_text("not a key")
    path.chmod(0o600)
    with pytest.raises(SigningKeyError, match="no unencrypted PEM key"):
        Ed25519FileSigner(path, "key_1")


@pytest.mark.parametrize("key", [b"", b"\x00" * 31, b"\xff" * 32])
def test_a_malformed_public_key_verifies_nothing(key: bytes) -> None:
    assert not verify_ed25519(key, b"head", b"\x00" * 64)
