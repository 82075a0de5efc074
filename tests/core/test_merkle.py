"""The log's tree: equal to the definition of RFC 6962, and no wrong proof is accepted."""

from __future__ import annotations

import hashlib
import json
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.core import merkle

SIZES = 300
LEAVES = [merkle.leaf_hash(n.to_bytes(2, "big")) for n in range(SIZES)]


@cache
def naive_root(low: int, high: int) -> bytes:
    """MTH(D[low:high]), word for word from RFC 6962 §2.1."""
    if low == high:
        return hashlib.sha256(b"").digest()
    if high - low == 1:
        return LEAVES[low]
    middle = low + naive_split(high - low)
    left, right = naive_root(low, middle), naive_root(middle, high)
    return hashlib.sha256(b"\x01" + left + right).digest()


def naive_split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def naive_path(m: int, low: int, high: int) -> list[bytes]:
    """PATH(m, D[low:high]) of RFC 6962 §2.1.1."""
    if high - low == 1:
        return []
    middle = low + naive_split(high - low)
    if m < middle - low:
        return [*naive_path(m, low, middle), naive_root(middle, high)]
    return [*naive_path(m - (middle - low), middle, high), naive_root(low, middle)]


def naive_proof(m: int, low: int, high: int, *, whole: bool = True) -> list[bytes]:
    """SUBPROOF(m, D[low:high], b) of RFC 6962 §2.1.2."""
    if m == high - low:
        return [] if whole else [naive_root(low, high)]
    k = naive_split(high - low)
    if m <= k:
        return [*naive_proof(m, low, low + k, whole=whole), naive_root(low + k, high)]
    return [*naive_proof(m - k, low + k, high, whole=False), naive_root(low, low + k)]


class Stored:
    """The stored form in memory: what the database keeps, and how often it was asked."""

    def __init__(self) -> None:
        self.rows: dict[int, list[bytes]] = {0: []}
        self.reads = 0
        self.read_hashes = 0

    def append(self, leaves: list[bytes]) -> None:
        nodes = list(merkle.new_complete_nodes(len(self.rows[0]), leaves, self))
        self.rows[0] += leaves
        for level, index, node in nodes:
            row = self.rows.setdefault(level, [])
            assert index == len(row), "nodes come in order, each once"
            row.append(node)

    def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        self.reads += 1
        self.read_hashes += count
        return self.rows[level][start : start + count]


@pytest.fixture(scope="module")
def stored() -> Stored:
    log = Stored()
    for low, high in ((0, 7), (7, 8), (8, 255), (255, 256), (256, 256), (256, SIZES)):
        log.append(LEAVES[low:high])
    return log


def test_every_size_has_the_root_of_the_definition(stored: Stored) -> None:
    """Catches a wrong split, swapped children and a missing prefix."""
    assert merkle.root_at(0, stored) == merkle.EMPTY_ROOT
    for size in range(SIZES + 1):
        assert merkle.root_at(size, stored) == naive_root(0, size)


def some(size: int) -> list[int]:
    """Every number below a small size; of a large one the edges and a sample."""
    if size <= 40:
        return list(range(size))
    edges = {0, 1, size - 2, size - 1, *(2**n + d for n in range(9) for d in (-1, 0, 1))}
    return sorted(n for n in edges | set(range(size % 13, size, 29)) if 0 <= n < size)


def test_every_size_has_the_inclusion_proofs_of_the_definition(stored: Stored) -> None:
    """Catches a proof in root-to-leaf order, and a verifier that takes a shortened one."""
    for size in range(1, SIZES + 1):
        root = naive_root(0, size)
        for index in some(size):
            proof = merkle.inclusion(index, size, stored)
            assert proof == naive_path(index, 0, size)
            assert merkle.verify_inclusion(LEAVES[index], index, size, proof, root)
            assert not merkle.verify_inclusion(LEAVES[index], index, size, proof[1:], root) or (
                size == 1
            )


def test_every_pair_of_sizes_has_the_consistency_proof_of_the_definition(stored: Stored) -> None:
    """Catches the well-known wrong verifier that fails every right proof with 2 <= old < new."""
    for second in range(SIZES + 1):
        new = naive_root(0, second)
        for first in [*some(second), second]:
            proof = merkle.consistency(first, second, stored)
            assert proof == (naive_proof(first, 0, second) if first else [])
            assert merkle.verify_consistency(first, second, naive_root(0, first), new, proof)


def test_all_sizes_to_64_agree_and_wrong_sizes_are_refused(stored: Stored) -> None:
    """Catches a proof that also verifies as that of a neighbouring size or index."""
    for second in range(1, 65):
        new = naive_root(0, second)
        for first in range(1, second + 1):
            proof = merkle.consistency(first, second, stored)
            old = naive_root(0, first)
            assert merkle.verify_consistency(first, second, old, new, proof)
            if first < second:
                assert not merkle.verify_consistency(first + 1, second, old, new, proof)
                assert not merkle.verify_consistency(first, second, new, old, proof)
                assert not merkle.verify_consistency(first, second, old, old, proof)
                assert not merkle.verify_consistency(first, second, LEAVES[299], new, proof)
                assert not merkle.verify_consistency(first, second, old, new, [*proof, new])
                assert not merkle.verify_consistency(first, second, old, new, proof[:-1])


def test_known_bad_consistency_proofs() -> None:
    """Catches the verifier that accepts anything when the first tree is empty, and its kin."""
    one, two = naive_root(0, 1), naive_root(0, 2)
    check = merkle.verify_consistency
    assert check(0, 2, merkle.EMPTY_ROOT, two, [])
    assert not check(0, 2, one, two, [])
    assert not check(0, 2, merkle.EMPTY_ROOT, two, [one])
    assert not check(0, 0, merkle.EMPTY_ROOT, two, [])
    assert check(0, 0, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [])
    assert not check(-1, 2, merkle.EMPTY_ROOT, two, [])
    assert not check(2, 1, two, one, [])
    assert check(2, 2, two, two, [])
    assert not check(2, 2, two, one, [])
    assert not check(2, 2, two, two, [one])
    assert not check(1, 2, one, two, [])
    assert check(1, 2, one, two, [LEAVES[1]])
    assert not check(1, 2, one, two, [LEAVES[1] + b"\x00"])
    assert not check(3, 4, naive_root(0, 3), naive_root(0, 4), [])


def test_inclusion_bounds_are_checked_here() -> None:
    """Catches a negative index, an index at the size, and a hash of another length."""
    check, leaf = merkle.verify_inclusion, LEAVES[0]
    assert check(leaf, 0, 1, [], leaf)
    for index, size in ((-1, 1), (1, 1), (0, 0), (0, -1), (2, 2)):
        assert not check(leaf, index, size, [], leaf)
    assert not check(leaf[:31], 0, 1, [], leaf[:31])
    assert not check(leaf, 0, 1, [leaf], leaf)
    assert not check(leaf, 0, 2, [LEAVES[1][:31]], naive_root(0, 2))


def test_a_proof_of_a_smaller_tree_is_none_of_a_larger() -> None:
    """Catches a verifier that stops when the hashes agree, though the sizes do not."""
    for small, large in ((4, 8), (1, 2), (4, 5), (8, 300)):
        proof, root = naive_path(0, 0, small), naive_root(0, small)
        assert merkle.verify_inclusion(LEAVES[0], 0, small, proof, root)
        assert not merkle.verify_inclusion(LEAVES[0], 0, large, proof, root)
    proof, roots = naive_proof(3, 0, 4), (naive_root(0, 3), naive_root(0, 4))
    assert merkle.verify_consistency(3, 4, *roots, proof)
    assert not merkle.verify_consistency(3, 8, *roots, proof)


positions = st.integers(1, SIZES).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n)))


@given(positions, st.data())
def test_a_proof_verifies_only_untouched(position: tuple[int, int], data: st.DataObject) -> None:
    """Catches a verifier that ignores part of its input: any flipped bit must be refused."""
    index, size = position
    parts = [LEAVES[index], naive_root(0, size), *naive_path(index, 0, size)]
    at = data.draw(st.integers(0, len(parts) - 1))
    bit = data.draw(st.integers(0, 255))
    touched = list(parts)
    touched[at] = (int.from_bytes(parts[at], "big") ^ 1 << bit).to_bytes(32, "big")
    assert merkle.verify_inclusion(parts[0], index, size, parts[2:], parts[1])
    assert not merkle.verify_inclusion(touched[0], index, size, touched[2:], touched[1])
    other = data.draw(st.integers(-2, SIZES + 2).filter(lambda n: n != index))
    assert not merkle.verify_inclusion(parts[0], other, size, parts[2:], parts[1])


@given(st.lists(st.integers(0, 700), max_size=6))
@settings(max_examples=30, deadline=None)
def test_nodes_are_the_same_however_leaves_arrive(batches: list[int]) -> None:
    """Catches a tile completed twice or never when a batch ends on its edge."""
    leaves = [merkle.leaf_hash(n.to_bytes(4, "big")) for n in range(sum(batches))]
    whole, parts, done = Stored(), Stored(), 0
    whole.append(leaves)
    for count in batches:
        parts.append(leaves[done : done + count])
        done += count
    assert whole.rows == parts.rows


def test_a_large_log_reads_few_tiles() -> None:
    """Catches a proof that reads every leaf: O(log n) is the point of the stored form."""
    size = 70_000
    leaves = [merkle.leaf_hash(n.to_bytes(4, "big")) for n in range(size)]
    log = Stored()
    log.append(leaves)
    assert {level: len(row) for level, row in log.rows.items()} == {0: size, 8: 273, 16: 1}
    root, old = merkle.root_at(size, log), merkle.root_at(65_537, log)
    log.reads = log.read_hashes = 0
    for index in (0, 255, 256, 65_535, 65_536, size - 1):
        proof = merkle.inclusion(index, size, log)
        assert merkle.verify_inclusion(leaves[index], index, size, proof, root)
    assert log.reads <= 6 * 6
    assert log.read_hashes <= 6 * 6 * merkle.TILE_WIDTH
    proof = merkle.consistency(65_537, size, log)
    assert merkle.verify_consistency(65_537, size, old, root, proof)


def test_impossible_requests_from_our_own_code_assert(stored: Stored) -> None:
    """Catches a proof made for a leaf that is not there."""
    for index, size in ((1, 1), (-1, 1), (0, 0)):
        with pytest.raises(AssertionError):
            merkle.inclusion(index, size, stored)
    with pytest.raises(AssertionError):
        merkle.consistency(2, 1, stored)
    with pytest.raises(AssertionError):
        merkle.root_at(SIZES + 1, stored)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=5, max_size=5))
def test_leaf_bytes_equal_the_encoder(parts: list[str]) -> None:
    """Catches a member out of order or unescaped in the assembled leaf."""
    names = ("deal_id", "event_hash", "event_id", "event_type", "timestamp")
    members = dict(zip(names, parts, strict=True))
    form = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    assert merkle.event_leaf_data(**members) == form
    assert merkle.event_leaf(**members) == hashlib.sha256(b"\x00" + form).digest()
