"""Readers of settings: text in, value out, or ValueError with the reason in words.

For: the table in `config/__init__.py`; a reason completes the sentence "SETTLEMENT_X is 'y': ...".
Guarantees: a reader has no side effect and touches no file.
Does not: know which setting it reads, or that settings depend on each other.
Change colour: amber.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from settlement.core.bids import parse_seal_key
from settlement.core.errors import SettlementError
from settlement.core.ids import check_slug
from settlement.core.money import Asset
from settlement.core.webhooks import secret_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from enum import StrEnum

TOKEN_CHARS_MIN: Final = 16


def required(text: str) -> str:
    """Any text but blanks."""
    if not text.strip():
        raise ValueError("it may not be empty")
    return text


def path(text: str) -> Path:
    """A path."""
    return Path(required(text))


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number within bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"it must be a whole number from {low} to {high}")
        return int(text)

    return read


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def flag(text: str) -> bool:
    """Yes or no."""
    if text not in ("0", "1"):
        raise ValueError("it must be 1 (yes) or 0 (no)")
    return text == "1"


def one_of(values: type[StrEnum]) -> Callable[[str], Any]:
    """A member of an enumeration, by its value."""

    def read(text: str) -> StrEnum:
        try:
            return values(text.strip().lower())
        except ValueError:
            known = ", ".join(value.value for value in values)
            raise ValueError(f"it must be one of {known}") from None

    return read


def name_in(known: Iterable[str], what: str) -> Callable[[str], str]:
    """A name out of a list."""
    names = sorted(known)

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"there is no such {what}; there are {', '.join(names)}")
        return text

    return read


def matching(pattern: str, what: str) -> Callable[[str], str]:
    """Text of a pattern, which `what` describes."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"it must be {what}")
        return text

    return read


def database(text: str) -> str:
    """A database URL of either kind."""
    sqlite = text.startswith("sqlite:///") and len(text) > len("sqlite:///")
    if not sqlite and not re.match(r"postgres(ql)?://\S+", text):
        raise ValueError("it must be sqlite:///PATH or postgresql://USER@HOST/NAME")
    return text


def url(text: str) -> str:
    """An http address, without a slash at its end; empty stays empty."""
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query):
        raise ValueError("it must be an http or https address without a query")
    return text.rstrip("/")


def token(text: str) -> str:
    """A secret long enough to be one; empty stays empty."""
    if text and (len(text) < TOKEN_CHARS_MIN or not text.isascii() or not text.isprintable()):
        raise ValueError(f"it must be at least {TOKEN_CHARS_MIN} printable ASCII characters")
    return text


def webhook_secret(text: str) -> str:
    """A secret that signs webhooks; after `whsec_` it is base64."""
    try:
        if token(text):
            secret_bytes(text)
    except SettlementError:
        raise ValueError("after whsec_ it must be base64") from None
    return text


def seal_key(text: str) -> str:
    """32 bytes in base64; empty stays empty."""
    if text:
        parse_seal_key(text)
    return text


def asset(text: str) -> str:
    """An asset's code."""
    try:
        return Asset.parse(text).code
    except SettlementError:
        raise ValueError("it must be an asset such as USD/2") from None


def names(text: str) -> tuple[str, ...]:
    """A comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def proxies(text: str) -> tuple[str, ...]:
    """A comma-separated list of addresses and networks; `*` for anybody."""
    found = names(text)
    for part in found:
        try:
            if part != "*":
                ipaddress.ip_network(part)
        except ValueError:
            raise ValueError(f"{part!r} is no address, network such as 10.0.0.0/8, or *") from None
    return found


def prices(text: str) -> tuple[tuple[str, str, str], ...]:
    """Prices by work: `vertical/sku=amount`, comma-separated; the sku may be empty."""
    found = []
    for part in names(text):
        match = re.fullmatch(r"([^/=]*)/([^/=]*)=([0-9.]+)", part)
        if match is None:
            raise ValueError(f"{part!r} is not of the form vertical/sku=49.00")
        vertical, sku, amount = match.groups()
        try:
            found.append((check_slug(vertical, "vertical"), check_slug(sku, "sku"), amount))
        except SettlementError:
            raise ValueError(f"{part!r} names no vertical and sku in lower case") from None
    return tuple(found)
