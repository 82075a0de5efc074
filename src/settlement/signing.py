"""The log's signing key: who signs tree heads, and how a signature is checked.

For: the log (heads), exports (the public key) and the offline verifier.
Guarantees: a key file is made once, whole and readable by its owner only, also when two processes
start together; a file that others can read is refused. `verify_ed25519` answers, it never raises.
Does not: decide when a key may be made (`wiring` does: only in sandbox), rotate or back up keys.
Change colour: red.
"""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    from pathlib import Path


class Signer(Protocol):
    """Who signs tree heads."""

    @property
    def key_id(self) -> str:
        """The key's published name."""
        ...

    @property
    def public_key(self) -> bytes:
        """The raw 32 bytes that verify what `sign` makes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature, 64 bytes."""
        ...


class SigningKeyError(Exception):
    """A key file that is missing, unreadable, of another kind, or open to other users."""

    def __init__(self, path: Path, reason: str, advice: str) -> None:
        self.path = path
        self.reason = reason
        self.advice = advice
        super().__init__(f"{path}: {reason}. {advice}")


class Ed25519FileSigner:
    """Signs with the key in one PEM file, read once."""

    __slots__ = ("_key", "_public", "key_id")

    def __init__(self, path: Path, key_id: str) -> None:
        self._key = _load(path)
        self._public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = key_id

    @classmethod
    def open_or_create(cls, path: Path, key_id: str) -> Ed25519FileSigner:
        """Open the key file, making it first if there is none."""
        if not path.exists():
            create_key_file(path)
        return cls(path, key_id)

    @property
    def public_key(self) -> bytes:
        """The raw 32-byte public key."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Sign; the same message always gives the same 64 bytes."""
        return self._key.sign(message)


def create_key_file(path: Path) -> None:
    """Write a new key, mode 0600, synced; a file that is there already is left as it is."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    write_once(path, pem)


def write_once(path: Path, secret: bytes) -> None:
    """Write a secret, mode 0600, synced; a file that is there already is left as it is."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: of two processes that start together the second must not replace
        # the key with which the first may have signed already.
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_secret(path: Path, make_one: str) -> bytes:
    """The secret in a file that only its owner can read; `make_one` is the advice if it is not
    there. Raises SigningKeyError.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            secret = file.read()
    except FileNotFoundError:
        raise SigningKeyError(path, "there is no key file", make_one) from None
    except OSError as error:
        raise SigningKeyError(
            path, f"it cannot be read ({error.strerror})", "Let the server's user read it."
        ) from error
    if mode & 0o077:
        raise SigningKeyError(
            path, f"other users may read it (mode {mode:04o})", "Run chmod 600 on it."
        )
    return secret


def _load(path: Path) -> Ed25519PrivateKey:
    make = f"umask 077; openssl genpkey -algorithm ed25519 -out {path}"
    pem = read_secret(path, f"Make one: `{make}`.")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise SigningKeyError(
            path, "it holds no unencrypted PEM key", "Put the key back from your own copy."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError(path, "its key is not Ed25519", "Use an Ed25519 key.")
    return key


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is the key's on `message`; malformed input is simply no."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
