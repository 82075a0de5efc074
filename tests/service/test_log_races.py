"""Rival processes: three append to the same chains while two sequence and sign.

On both databases. The sequencers' leases lapse at once, so that the log changes hands as often as
it can, and both write one checkpoint file.
"""

from __future__ import annotations

import json
import multiprocessing
from typing import TYPE_CHECKING

import pytest

from settlement.core import merkle
from settlement.core.checkpoint import TreeHead, head_from_document, verify_head
from settlement.service.log import LogSettings, Sequencer
from settlement.signing import verify_ed25519
from settlement.store import log as rows
from settlement.store.database import Database, open_database
from tests.support.logs import (
    MemorySigner,
    append_at_random,
    append_events,
    check_log,
    naive_root,
    sequence_until,
)

if TYPE_CHECKING:
    from pathlib import Path

DEALS = 9
WRITERS = 3
APPENDS = 50


def all_heads(db: Database, size: int) -> list[TreeHead]:
    found = db.read(lambda tx: [rows.find_head(tx, at) for at in range(size + 1)])
    return [head for head in found if head is not None]


@pytest.mark.chaos
def test_two_sequencers_and_many_writers_make_one_log(database_url: str, tmp_path: Path) -> None:
    db = open_database(database_url)
    db.migrate()
    path = tmp_path / "checkpoint.json"
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    sequencers = [
        context.Process(target=sequence_until, args=(database_url, path, stop)) for _ in range(2)
    ]
    writers = [
        context.Process(target=append_at_random, args=(database_url, seed, DEALS, APPENDS))
        for seed in range(WRITERS)
    ]
    filed: list[TreeHead] = []
    try:
        for process in (*sequencers, *writers):
            process.start()
        while any(writer.is_alive() for writer in writers):
            writers[0].join(0.01)
            if path.exists():
                filed.append(head_from_document(json.loads(path.read_text("utf-8"))))
        assert [writer.exitcode for writer in writers] == [0] * WRITERS
        assert all(sequencer.is_alive() for sequencer in sequencers)
    finally:
        stop.set()
        for process in (*sequencers, *writers):
            process.join(30)
            process.kill()
    assert [sequencer.exitcode for sequencer in sequencers] == [0, 0]

    signer = MemorySigner()
    last = Sequencer(
        db, signer, LogSettings(lease_seconds=0, head_interval_us=0, checkpoint_file=path)
    )
    while last.step():
        pass
    last.sign()
    leaves = check_log(db)
    heads = all_heads(db, len(leaves))
    assert heads[-1].tree_size == len(leaves) >= WRITERS * APPENDS
    check_heads(db, heads, leaves, signer)

    sizes = [head.tree_size for head in filed]
    assert sizes == sorted(sizes)
    assert set(filed) <= set(heads)
    assert head_from_document(json.loads(path.read_text("utf-8"))) == heads[-1]
    db.close()


@pytest.mark.chaos
@pytest.mark.parametrize(
    "point",
    ["log.before_indexes", "log.after_indexes", "log.before_head", "log.before_checkpoint_file"],
)
def test_a_sequencer_killed_anywhere_leaves_a_log_that_goes_on(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    db = open_database(database_url)
    db.migrate()
    path = tmp_path / "checkpoint.json"
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    append_events(db, "deal_a", 5)
    append_events(db, "deal_b", 15)
    monkeypatch.setenv("SETTLEMENT_FAULTS", f"{point}:kill@2")
    victim = context.Process(target=sequence_until, args=(database_url, path, stop))
    victim.start()
    monkeypatch.delenv("SETTLEMENT_FAULTS")
    append_events(db, "deal_a", 5)
    victim.join(60)
    assert victim.exitcode == -9, "the point was not reached"

    signer = MemorySigner()
    settings = LogSettings(head_interval_us=0, checkpoint_file=path)
    restarted = Sequencer(db, signer, settings)
    assert restarted.check_checkpoint() is None
    last = db.read(rows.find_head)
    filed = json.loads(path.read_text("utf-8")) if path.exists() else None
    assert filed == (last.document() if last else None)
    while restarted.step():
        pass
    restarted.sign()
    leaves = check_log(db)
    assert len(leaves) == 25
    heads = all_heads(db, 25)
    assert heads[-1].tree_size == 25
    check_heads(db, heads, leaves, signer)
    db.close()


def check_heads(
    db: Database, heads: list[TreeHead], leaves: list[bytes], signer: MemorySigner
) -> None:
    """Each verifies, has the root of the definition, and extends all before it."""
    for head in heads:
        assert verify_head(head, signer.public_key, verify_ed25519)
        assert head.root_hash == naive_root(leaves[: head.tree_size]).hex()
    for new in heads[:: max(1, len(heads) // 20)]:
        for old in heads:
            if old.tree_size > new.tree_size:
                continue
            proof = db.read(
                lambda tx, old=old, new=new: merkle.consistency(  # type: ignore[misc]  # defaults bind the loop's values
                    old.tree_size, new.tree_size, rows.TxHashes(tx)
                )
            )
            roots = bytes.fromhex(old.root_hash), bytes.fromhex(new.root_hash)
            assert merkle.verify_consistency(old.tree_size, new.tree_size, *roots, proof)
