"""Sealed bids: who may open them, and with what.

For: the exchange's service, which seals, and the close, which opens.
Guarantees: sealing needs only the public half of an intent's key; the private half exists unwrapped
in `open_bids` alone. Under a seal key, what it wraps for one intent opens nothing of another, and a
ciphertext moved to another intent, bid or bidder does not open. One caller's repeat of one bid gets
the nonce it had, without any being stored.
Does not: decide when to open, read settings, or rotate: an intent is opened with the key under
which it was made (docs/decisions/0018).

Spec §13. Change colour: red (FORMAT: what is sealed today is opened next week).
"""

from __future__ import annotations

import base64
import hmac
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from settlement.core.bids import SEAL_KEY_BYTES, OpenedBid, padded, parse_seal_key, unpadded
from settlement.core.canonical import framed_hash
from settlement.core.errors import SealKeyMissing, StoreCorrupt
from settlement.core.operations.create_intent import SealedKey
from settlement.signing import read_secret, write_once

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from settlement.core.bids import BidTerms
    from settlement.core.intent_rows import Bid, Intent

PUBLIC_BYTES: Final = 32
_GCM_NONCE_BYTES: Final = 12
_KEY_ID_DIGITS: Final = 16


def open_or_create_key_file(path: Path) -> bytes:
    """The seal key in a file, made first if there is none. Raises SigningKeyError, ValueError."""
    if not path.exists():
        write_once(path, base64.b64encode(os.urandom(SEAL_KEY_BYTES)) + b"\n")
    return read_key_file(path)


def read_key_file(path: Path) -> bytes:
    """The seal key in a file. Raises SigningKeyError, ValueError."""
    secret = read_secret(path, f"Make one: `umask 077; openssl rand -base64 32 > {path}`.")
    return parse_seal_key(secret.decode("ascii", errors="replace"))


def seal_bid(intent: Intent, bid_id: str, agent_id: str, opened: OpenedBid) -> str:
    """Encrypt a bid to its intent: ephemeral key, GCM nonce and ciphertext, in hex."""
    public = bytes.fromhex(intent.public_key)
    ephemeral = X25519PrivateKey.generate()
    sender = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    nonce = os.urandom(_GCM_NONCE_BYTES)
    box = AESGCM(_bid_key(shared, sender, public))
    sealed = box.encrypt(nonce, padded(opened), _about_bid(intent.intent_id, bid_id, agent_id))
    return (sender + nonce + sealed).hex()


class SealKey:
    """The operator's seal key: wraps intent keys, unwraps them at the close."""

    __slots__ = ("_nonces", "_wrapping", "key_id")

    def __init__(self, key: bytes) -> None:
        assert len(key) == SEAL_KEY_BYTES, "a seal key is 32 bytes"
        self._wrapping = _derived(key, b"settlement/intent-key/v1")
        self._nonces = _derived(key, b"settlement/bid-nonce/v1")
        #: Tells keys apart, so that a wrong one is not taken for damage.
        self.key_id = _derived(key, b"settlement/seal-key-id/v1").hex()[:_KEY_ID_DIGITS]

    def new_intent_key(self, intent_id: str) -> SealedKey:
        """A key pair for one intent, the private half wrapped."""
        pair = X25519PrivateKey.generate()
        nonce = os.urandom(_GCM_NONCE_BYTES)
        wrapped = AESGCM(self._wrapping).encrypt(
            nonce, pair.private_bytes_raw(), _about_key(intent_id)
        )
        return SealedKey(
            public_key=pair.public_key().public_bytes_raw().hex(),
            sealed_key=(nonce + wrapped).hex(),
            seal_key_id=self.key_id,
        )

    def nonce_of(self, caller: str, sent_key: str, bid_on: str, terms: BidTerms) -> bytes:
        """The nonce of a bid sent under an idempotency key: the same for its repeats only.

        Stored nowhere, and to anybody without the key as good as random.
        """
        about = framed_hash("bid-nonce", caller, sent_key, bid_on, terms.text())
        return hmac.digest(self._nonces, bytes.fromhex(about), sha256)

    def open_bids(self, intent: Intent, bids: Sequence[Bid]) -> tuple[OpenedBid, ...]:
        """Unwrap the intent's key and open its bids; raises SealKeyMissing, StoreCorrupt."""
        if intent.seal_key_id != self.key_id:
            raise SealKeyMissing(
                intent_id=intent.intent_id,
                reason=f"its bids are sealed under the seal key {intent.seal_key_id}, and this"
                f" server has {self.key_id}",
            )
        pair = self._unwrapped(intent)
        return tuple(_open(pair, intent, bid) for bid in bids)

    def _unwrapped(self, intent: Intent) -> X25519PrivateKey:
        blob = bytes.fromhex(intent.sealed_key)
        nonce, wrapped = blob[:_GCM_NONCE_BYTES], blob[_GCM_NONCE_BYTES:]
        try:
            raw = AESGCM(self._wrapping).decrypt(nonce, wrapped, _about_key(intent.intent_id))
        except InvalidTag as error:
            raise StoreCorrupt(
                where=f"the key of intent {intent.intent_id}", reason="it does not unwrap"
            ) from error
        return X25519PrivateKey.from_private_bytes(raw)


class NoSealKey:
    """Stands where there is no seal key: refuses to open anything."""

    def open_bids(self, intent: Intent, bids: Sequence[Bid]) -> tuple[OpenedBid, ...]:
        """Raises SealKeyMissing."""
        raise SealKeyMissing(
            intent_id=intent.intent_id,
            reason=f"its {len(bids)} bids are sealed, and this server has no seal key",
        )


def _open(pair: X25519PrivateKey, intent: Intent, bid: Bid) -> OpenedBid:
    blob = bytes.fromhex(bid.ciphertext)
    sender, rest = blob[:PUBLIC_BYTES], blob[PUBLIC_BYTES:]
    nonce, sealed = rest[:_GCM_NONCE_BYTES], rest[_GCM_NONCE_BYTES:]
    try:
        shared = pair.exchange(X25519PublicKey.from_public_bytes(sender))
        box = AESGCM(_bid_key(shared, sender, pair.public_key().public_bytes_raw()))
        about = _about_bid(intent.intent_id, bid.bid_id, bid.agent_id)
        return unpadded(box.decrypt(nonce, sealed, about))
    except (InvalidTag, ValueError) as error:
        raise StoreCorrupt(where=f"bid {bid.bid_id}", reason="it does not open") from error


def _derived(key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=SEAL_KEY_BYTES, salt=None, info=info).derive(key)


def _bid_key(shared: bytes, sender: bytes, public: bytes) -> bytes:
    return _derived(shared, b"settlement/bid-seal/v1" + sender + public)


def _about_key(intent_id: str) -> bytes:
    return bytes.fromhex(framed_hash("intent-key", intent_id))


def _about_bid(intent_id: str, bid_id: str, agent_id: str) -> bytes:
    return bytes.fromhex(framed_hash("sealed-bid", intent_id, bid_id, agent_id))
