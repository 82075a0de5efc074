"""The log's Merkle tree (RFC 6962): hashes, proofs, verifiers, and a stored form in tiles.

Guarantees: a verifier accepts exactly the one right proof - indices, sizes and lengths are checked
here, not trusted; proofs and roots are made in O(log n) from stored hashes of levels 0, 8, 16, ...
(tiles of 256), reading only the tiles on the path and on the right edge.
Does not: store anything, sign, or remember a root. Impossible input from our own code asserts.

Spec §8.2, contract §4.5. Change colour: red (FORMAT).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Protocol

from settlement.core.canonical import j_string

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HASH_BYTES: Final = 32
TILE_LEVELS: Final = 8
TILE_WIDTH: Final = 1 << TILE_LEVELS
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


class HashReader(Protocol):
    """Where stored hashes are read. Level 0 are leaves; 8, 16, 24 are complete subtrees."""

    def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        """Return exactly `count` stored hashes of that level, from index `start`."""
        ...


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(00, data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(01, left, right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def event_leaf_data(
    *, deal_id: str, event_type: str, event_id: str, event_hash: str, timestamp: str
) -> bytes:
    """The bytes an event's leaf covers: compact JSON of five members, assembled from parts."""
    return (
        f'{{"deal_id":{j_string(deal_id)},"event_hash":{j_string(event_hash)},'
        f'"event_id":{j_string(event_id)},"event_type":{j_string(event_type)},'
        f'"timestamp":{j_string(timestamp)}}}'
    ).encode("ascii")


def event_leaf(
    *, deal_id: str, event_type: str, event_id: str, event_hash: str, timestamp: str
) -> bytes:
    """The leaf hash of an event."""
    return leaf_hash(
        event_leaf_data(
            deal_id=deal_id,
            event_type=event_type,
            event_id=event_id,
            event_hash=event_hash,
            timestamp=timestamp,
        )
    )


# --- verifiers -----------------------------------------------------------------------------------


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Tell whether `leaf` is number `index` of the tree of `size` leaves with that root."""
    if not 0 <= index < size or not _well_formed(leaf, root, *proof):
        return False
    at, last, running = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            running = node_hash(sibling, running)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            running = node_hash(running, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and running == root


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Tell whether the tree of `second` leaves only appended to the tree of `first`.

    Of an empty first tree there is nothing to prove: its root must be the empty one, the proof
    empty.
    """
    if not 0 <= first <= second or not _well_formed(first_root, second_root, *proof):
        return False
    if first == 0 and first_root != EMPTY_ROOT:
        return False
    if first in (0, second):
        return not proof and (first < second or first_root == second_root)
    # A first tree of 2**n leaves is itself a node of the second, so its root is left out.
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not path:
        return False
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _well_formed(*hashes: bytes) -> bool:
    return all(len(one) == HASH_BYTES for one in hashes)


# --- the stored form -----------------------------------------------------------------------------


class _Tiles:
    """Stored hashes of the tree of `size` leaves, read a tile at a time and at most once."""

    __slots__ = ("_reader", "_rows", "_size")

    def __init__(self, reader: HashReader, size: int) -> None:
        self._reader = reader
        self._size = size
        self._rows: dict[tuple[int, int], list[bytes]] = {}

    def subtree(self, low: int, high: int) -> bytes:
        """The hash over leaves [low, high); `low` is a multiple of the subtree's width."""
        width = high - low
        if width & (width - 1) == 0:
            level = width.bit_length() - 1
            return self._complete(level, low >> level)
        middle = low + _split(width)
        return node_hash(self.subtree(low, middle), self.subtree(middle, high))

    def _complete(self, level: int, index: int) -> bytes:
        base, above = level - level % TILE_LEVELS, level % TILE_LEVELS
        first = index << above
        row = self._row(base, first // TILE_WIDTH)
        offset = first % TILE_WIDTH
        hashes = row[offset : offset + (1 << above)]
        assert len(hashes) == 1 << above, "the reader lacks a stored hash"
        return _fold(hashes)

    def _row(self, base: int, tile: int) -> list[bytes]:
        row = self._rows.get((base, tile))
        if row is None:
            start = tile * TILE_WIDTH
            count = min(TILE_WIDTH, (self._size >> base) - start)
            row = self._rows[base, tile] = self._reader.hashes(base, start, count)
            assert len(row) == count, "the reader returned another number of hashes"
        return row


def _split(width: int) -> int:
    """The largest power of two smaller than `width`."""
    return 1 << ((width - 1).bit_length() - 1)


def root_at(size: int, reader: HashReader) -> bytes:
    """The root of the first `size` leaves."""
    assert size >= 0, "a tree size is not negative"
    return _Tiles(reader, size).subtree(0, size) if size else EMPTY_ROOT


def peaks_at(size: int, reader: HashReader) -> list[tuple[int, bytes]]:
    """The widths and hashes of the complete subtrees that the first `size` leaves fall into."""
    tiles, low = _Tiles(reader, size), 0
    peaks: list[tuple[int, bytes]] = []
    while low < size:
        width = 1 << (size - low).bit_length() - 1
        peaks.append((width, tiles.subtree(low, low + width)))
        low += width
    return peaks


def inclusion(index: int, size: int, reader: HashReader) -> list[bytes]:
    """The inclusion proof of leaf `index` in the tree of `size` leaves, leaf to root."""
    assert 0 <= index < size, "the leaf is not in that tree"
    tiles = _Tiles(reader, size)
    proof: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(tiles.subtree(middle, high))
            high = middle
        else:
            proof.append(tiles.subtree(low, middle))
            low = middle
    proof.reverse()
    return proof


def consistency(first: int, second: int, reader: HashReader) -> list[bytes]:
    """The consistency proof from the tree of `first` leaves to the tree of `second`."""
    assert 0 <= first <= second, "the first tree is not the larger"
    if first in (0, second):
        return []
    tiles = _Tiles(reader, second)
    proof: list[bytes] = []
    low, high = 0, second
    while first != high:
        middle = low + _split(high - low)
        if first <= middle:
            proof.append(tiles.subtree(middle, high))
            high = middle
        else:
            proof.append(tiles.subtree(low, middle))
            low = middle
    if low:
        # The first tree ends inside this one, so the verifier cannot have its hash already.
        proof.append(tiles.subtree(low, high))
    proof.reverse()
    return proof


def new_complete_nodes(
    old_size: int, new_leaves: Sequence[bytes], reader: HashReader
) -> Iterator[tuple[int, int, bytes]]:
    """The (level, index, hash) of levels 8, 16, ... completed by appending `new_leaves`.

    Reads the started tile of a level only when it is completed now; store what this yields in the
    transaction that stores the leaves.
    """
    level, size = 0, old_size
    added = list(new_leaves)
    while True:
        started = size % TILE_WIDTH
        if started + len(added) < TILE_WIDTH:
            return
        first_tile = size // TILE_WIDTH
        before = reader.hashes(level, size - started, started) if started else []
        assert len(before) == started, "the reader lacks a stored hash"
        row = before + added
        level, size = level + TILE_LEVELS, first_tile
        added = []
        for at in range(len(row) // TILE_WIDTH):
            node = _fold(row[at * TILE_WIDTH : (at + 1) * TILE_WIDTH])
            added.append(node)
            yield level, first_tile + at, node


def _fold(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [node_hash(*pair) for pair in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
