"""Looks for a price wherever bytes are kept, in every spelling a price can have.

Guarantees: text, JSON, hex, base64 at any offset, integers of 4 and 8 bytes either way round, and
binary fractions either way round; `.tar.gz` archives are searched within.
Does not: look inside ciphertexts. That is the point.
"""

from __future__ import annotations

import base64
import io
import struct
import tarfile
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


def spellings(minor: int) -> dict[str, bytes]:
    """Every spelling of a price of two decimals, by name."""
    decimal = str(Decimal(minor) / 100)
    texts = {"minor": str(minor), "decimal": decimal, "short": decimal.rstrip("0").rstrip(".")}
    found = {name: text.encode() for name, text in texts.items()}
    for name, text in list(found.items()):
        found[f"{name}, hex"] = text.hex().encode()
        found[f"{name}, reversed"] = text[::-1]
        for shift in range(3):
            # Without the ends, which depend on what stands before and behind.
            coded = base64.b64encode(b"\0" * shift + text)
            cut = coded[2 if shift else 0 :][(2 if shift == 2 else 0) :]
            whole = cut[: (len(text) + shift) * 8 // 6 - (4 if shift else 0)]
            if len(whole) >= 6:
                found[f"{name}, base64 at {shift}"] = whole
    for order, sign in (("big", ">"), ("little", "<")):
        found[f"8 bytes, {order}"] = minor.to_bytes(8, order)  # type: ignore[arg-type]  # both are
        if minor < 2**32:
            found[f"4 bytes, {order}"] = minor.to_bytes(4, order)  # type: ignore[arg-type]  # both are
        found[f"binary fraction, {order}"] = struct.pack(f"{sign}d", minor / 100)
    return found


def haystacks(files: Iterable[Path], **more: bytes) -> Iterator[tuple[str, bytes]]:
    """Everything to search, by name; what is in an archive by its own."""
    for path in files:
        if path.is_file():
            yield str(path), path.read_bytes()
            if path.name.endswith(".tar.gz"):
                with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
                    for member in archive.getmembers():
                        inner = archive.extractfile(member)
                        if inner is not None:
                            yield f"{path.name}:{member.name}", inner.read()
    yield from more.items()


def found_in(places: Mapping[str, bytes], prices: Iterable[int]) -> list[tuple[int, str, str]]:
    """(price, spelling, place) of everything found."""
    wanted = {minor: spellings(minor) for minor in prices}
    return [
        (minor, spelling, place)
        for place, content in places.items()
        for minor, forms in wanted.items()
        for spelling, needle in forms.items()
        if needle in content
    ]
