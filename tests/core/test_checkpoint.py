"""Tree heads: the signed text, and that no head is accepted without extending the last."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from settlement.core import checkpoint, merkle
from settlement.core.errors import CheckpointDiverged, InvalidField

if TYPE_CHECKING:
    from settlement.core.checkpoint import TreeHead

SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = SIGNER.public_key().public_bytes_raw()


def ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def head(tree_size: int, root: bytes, log_id: str = "log") -> TreeHead:
    return checkpoint.sign_head(
        SIGNER.sign,
        log_id=log_id,
        tree_size=tree_size,
        root_hash=root.hex(),
        timestamp="2026-01-01T00:00:00.000000Z",
        key_id="k",
    )


LEAF = merkle.leaf_hash(b"x")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("log_id", "other"),
        ("tree_size", 2),
        ("root_hash", "0" * 64),
        ("timestamp", "later"),
        ("signature", "AAAA"),
        ("signature", "not base64!"),
        ("algorithm", "none"),
    ],
)
def test_a_signature_covers_the_four_members(member: str, value: Any) -> None:
    """Catches a signed text that leaves a member out."""
    signed = head(1, LEAF)
    assert checkpoint.verify_head(signed, PUBLIC, ed25519)
    changes: dict[str, Any] = {member: value}
    assert not checkpoint.verify_head(replace(signed, **changes), PUBLIC, ed25519)


def test_the_signed_text_is_the_published_one() -> None:
    """Catches another separator or order."""
    assert checkpoint.sth_text("log", 7, "ab", "t") == "log|7|ab|t"


def test_a_head_reads_back() -> None:
    """Catches a member renamed on one side only."""
    signed = head(1, LEAF)
    assert checkpoint.head_from_document(signed.document()) == signed


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("tree_size", -1),
        ("tree_size", True),
        ("tree_size", "1"),
        ("log_id", None),
        ("root_hash", "AB"),
        ("algorithm", "RS256"),
        ("signature", 1),
    ],
)
def test_a_malformed_head_is_refused(member: str, value: Any) -> None:
    """Catches True read as one leaf, and another algorithm taken for ours."""
    document = {**head(1, LEAF).document(), member: value}
    with pytest.raises(InvalidField) as caught:
        checkpoint.head_from_document(document)
    assert caught.value.field == member


def test_the_next_head_must_extend_the_last() -> None:
    """Catches a rewritten log: same size and other root, smaller size, or no proof."""
    two = merkle.node_hash(LEAF, merkle.leaf_hash(b"y"))
    first, second = head(1, LEAF), head(2, two)
    proof = [merkle.leaf_hash(b"y")]
    checkpoint.check_successor(None, first, [])
    checkpoint.check_successor(first, second, proof)
    checkpoint.check_successor(first, first, [])
    for last, following, shown in (
        (first, second, []),
        (first, head(1, two), []),
        (second, first, proof),
        (first, head(2, two, log_id="other"), proof),
    ):
        with pytest.raises(CheckpointDiverged) as caught:
            checkpoint.check_successor(last, following, shown)
        assert caught.value.tree_size == last.tree_size
