"""Signed tree heads: the text that is signed, the value, and the rule for accepting the next one.

Guarantees: the signed text is `{log_id}|{tree_size}|{root_hash}|{timestamp}`; a head is accepted
after another only with a consistency proof between them.
Does not: hold keys or sign - signing and the Ed25519 check are callables handed in - and it issues
no heads of its own accord.

Spec §8.3, contract §4.6. Change colour: red (FORMAT).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from settlement.core import merkle
from settlement.core.errors import CheckpointDiverged, InvalidField
from settlement.core.ids import is_hex64

if TYPE_CHECKING:
    from settlement.core.canonical import Json

ED25519: Final = "Ed25519"
DEFAULT_LOG_ID: Final = "aigentsy_settlement_log_v1"
DEFAULT_KEY_ID: Final = "aigentsy_log_signer_v1"

#: (raw 32-byte public key, message, signature) -> whether it verifies. Must not raise.
VerifySignature: TypeAlias = Callable[[bytes, bytes, bytes], bool]
Sign: TypeAlias = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeHead:
    """A signed tree head. `signature` is base64; member order is the published one."""

    log_id: str
    tree_size: int
    root_hash: str
    timestamp: str
    key_id: str
    algorithm: str = ED25519
    signature: str

    def document(self) -> dict[str, Json]:
        """The JSON form; `head_from_document` reads it back."""
        return {
            "log_id": self.log_id,
            "tree_size": self.tree_size,
            "root_hash": self.root_hash,
            "timestamp": self.timestamp,
            "key_id": self.key_id,
            "algorithm": self.algorithm,
            "signature": self.signature,
        }


def sth_text(log_id: str, tree_size: int, root_hash: str, timestamp: str) -> str:
    """The text a head's signature covers."""
    return f"{log_id}|{tree_size}|{root_hash}|{timestamp}"


def sign_head(
    sign: Sign, *, log_id: str, tree_size: int, root_hash: str, timestamp: str, key_id: str
) -> TreeHead:
    """Make a signed head. The caller has proven consistency with the last one first."""
    assert tree_size >= 0, "a tree size is not negative"
    assert is_hex64(root_hash), "a root hash is 64 hex"
    text = sth_text(log_id, tree_size, root_hash, timestamp)
    return TreeHead(
        log_id=log_id,
        tree_size=tree_size,
        root_hash=root_hash,
        timestamp=timestamp,
        key_id=key_id,
        signature=base64.b64encode(sign(text.encode())).decode("ascii"),
    )


def verify_head(head: TreeHead, public_key: bytes, verify: VerifySignature) -> bool:
    """Tell whether the head's signature is by that key."""
    try:
        signature = base64.b64decode(head.signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    text = sth_text(head.log_id, head.tree_size, head.root_hash, head.timestamp)
    return head.algorithm == ED25519 and verify(public_key, text.encode(), signature)


def check_successor(last: TreeHead | None, following: TreeHead, proof: Sequence[bytes]) -> None:
    """Accept `following` after `last`, or raise CheckpointDiverged with the last size.

    No last head means nothing was promised yet.
    """
    if last is None:
        return
    extends = following.log_id == last.log_id and merkle.verify_consistency(
        last.tree_size,
        following.tree_size,
        bytes.fromhex(last.root_hash),
        bytes.fromhex(following.root_hash),
        proof,
    )
    if not extends:
        raise CheckpointDiverged(tree_size=last.tree_size)


def head_from_document(document: Mapping[str, Json]) -> TreeHead:
    """Read a head's JSON form; raises InvalidField naming the member that is wrong."""
    size = document.get("tree_size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidField(field="tree_size", reason="must be a whole number")
    names = ("log_id", "root_hash", "timestamp", "key_id", "signature")
    texts: dict[str, str] = {}
    for name in names:
        value = document.get(name)
        if not isinstance(value, str):
            raise InvalidField(field=name, reason="must be text")
        texts[name] = value
    if not is_hex64(texts["root_hash"]):
        raise InvalidField(field="root_hash", reason="must be 64 hex digits")
    if document.get("algorithm", ED25519) != ED25519:
        raise InvalidField(field="algorithm", reason="must be Ed25519")
    return TreeHead(tree_size=size, **texts)
