"""Looking for usable keys where none may be: in files, dumps, logs and answers.

For: tests of key security; give `assert_no_keys` every blob that leaves a process.
Guarantees: a key is found as it is written, and in base64 or hex, whole or its secret part alone,
whatever stands around it.
Does not: know where blobs come from, but for a database's own bytes.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from tests.support.raw import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Of `a2a_` + 16 hex + `_`: what comes after is the secret and its check digits.
_PUBLIC_CHARS = 21
_CHECK_CHARS = 6
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def forms_of(key: str) -> dict[str, bytes]:
    """Each way in which a key could be usable by whoever reads it."""
    secret = key[_PUBLIC_CHARS:-_CHECK_CHARS]
    number = 0
    for char in secret:
        number = number * 62 + _ALPHABET.index(char)
    parts = {"key": key.encode(), "secret": secret.encode(), "bytes": number.to_bytes(32, "big")}
    forms = {"text": parts["key"], "secret": parts["secret"], "raw": parts["bytes"]}
    for name, part in parts.items():
        forms[f"{name} in hex"] = part.hex().encode()
        forms[f"{name} in HEX"] = part.hex().upper().encode()
        for shift in range(3):
            forms[f"{name} in base64, after {shift}"] = _inner_base64(part, shift)
    return forms


def _inner_base64(part: bytes, shift: int) -> bytes:
    """The digits of base64 that depend on the part alone when `shift` bytes stand before it."""
    padded = bytes(shift) + part
    whole = padded[: len(padded) // 3 * 3]
    return base64.b64encode(whole)[4 if shift else 0 :]


def find_keys_in(keys: Iterable[str], blobs: Mapping[str, bytes]) -> list[str]:
    """Where which form of which key stands."""
    found = []
    for key in keys:
        for form, needle in forms_of(key).items():
            url_safe = needle.replace(b"+", b"-").replace(b"/", b"_")
            found += [
                f"{where}: {key[:_PUBLIC_CHARS]}… as {form}"
                for where, blob in blobs.items()
                if needle in blob or url_safe in blob
            ]
    return found


def assert_no_keys(keys: Iterable[str], blobs: Mapping[str, bytes]) -> None:
    """Fail with each place that holds a usable key."""
    assert blobs
    assert all(blobs.values()), f"nothing to look at: {[n for n, b in blobs.items() if not b]}"
    found = find_keys_in(keys, blobs)
    assert not found, "\n".join(found)


def database_bytes(url: str) -> dict[str, bytes]:
    """All a database holds: SQLite's files with its log, or every PostgreSQL table as text."""
    if url.startswith("sqlite"):
        main = Path(url.removeprefix("sqlite:///"))
        files = [path for path in main.parent.glob(f"{main.name}*") if path.stat().st_size]
        return {path.name: path.read_bytes() for path in files}
    with psycopg.connect(url) as session:
        names = [name for (name,) in session.execute(TABLES["postgres"]).fetchall()]
        return {"dump": b"\n".join(_table_text(session, name) for name in names)}


def _table_text(session: psycopg.Connection, name: str) -> bytes:
    with session.cursor().copy(f'COPY "{name}" TO STDOUT'.encode()) as rows:
        return name.encode() + b"\n" + b"".join(bytes(row) for row in rows)
