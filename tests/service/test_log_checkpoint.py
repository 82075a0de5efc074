"""The checkpoint file: what was signed is remembered outside the database.

On both databases. The file always holds a head that the database has, never goes back, and stops
a server whose database knows less than was once signed.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from settlement.core.checkpoint import TreeHead, head_from_document
from settlement.core.errors import BehindCheckpoint, CheckpointDamaged, CheckpointDiverged
from settlement.service.checkpoint_file import CheckpointFile
from settlement.service.log import LogSettings, Sequencer
from settlement.store import log as rows
from settlement.store.database import open_database
from tests.support.logs import MemorySigner, append_events, raw_sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.store.database import Database


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outside" / "checkpoint.json"


def sequencer_for(db: Database, path: Path) -> Sequencer:
    return Sequencer(db, MemorySigner(), LogSettings(checkpoint_file=path, head_interval_us=0))


def grow(db: Database, sequencer: Sequencer, count: int = 1) -> TreeHead:
    append_events(db, "deal_a", count)
    sequencer.run_once()
    head = sequencer.sign()
    assert head is not None
    return head


def in_file(path: Path) -> TreeHead:
    return head_from_document(json.loads(path.read_text("utf-8")))


def forget_heads(url: str, above: int) -> None:
    """What a restore of an older backup does to the log."""
    raw_sql(
        url,
        f"DELETE FROM tree_head WHERE tree_size > {above}",
        f"DELETE FROM log_entry WHERE log_index >= {above}",
        f"DELETE FROM event WHERE deal_id = 'deal_a' AND version >= {above}",
        without_triggers=True,
    )


def test_the_file_follows_every_head(db: Database, path: Path) -> None:
    sequencer = sequencer_for(db, path)
    assert sequencer.check_checkpoint() is None
    for _ in range(3):
        head = grow(db, sequencer)
        assert in_file(path) == head == db.read(rows.find_head)
    names = {entry.name for entry in path.parent.iterdir()}
    assert names == {path.name, f".{path.name}.lock"}


def test_a_crash_between_commit_and_file_is_made_good(db: Database, path: Path) -> None:
    sequencer = sequencer_for(db, path)
    first = grow(db, sequencer)
    kept = path.read_bytes()
    second = grow(db, sequencer)
    path.write_bytes(kept)
    assert in_file(path) == first
    assert sequencer_for(db, path).check_checkpoint() is None
    assert in_file(path) == second


def test_another_process_follows_heads_it_did_not_sign(db: Database, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "a.json", tmp_path / "b.json"
    first, second = sequencer_for(db, ours), sequencer_for(db, theirs)
    head = grow(db, first)
    assert second.sign() is None
    assert in_file(theirs) == head


def test_the_file_never_goes_back(path: Path) -> None:
    """Whoever writes last: of many writers in any order, the largest head stays."""

    def head(size: int) -> TreeHead:
        return TreeHead(
            log_id="log",
            tree_size=size,
            root_hash=f"{size:064x}",
            timestamp="2026-01-02T03:04:05.000000Z",
            key_id="key",
            signature="c2ln",
        )

    seen: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        reader = CheckpointFile(path)
        while not stop.is_set():
            found = reader.read()
            if found is not None:
                seen.append(found.tree_size)

    def write(sizes: range) -> None:
        for size in sizes:
            CheckpointFile(path).advance(head(size))

    watcher = threading.Thread(target=watch)
    writers = [threading.Thread(target=write, args=(range(n, 200, 3),)) for n in range(3)]
    watcher.start()
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    watcher.join()
    assert seen == sorted(seen)
    assert in_file(path) == head(199)
    assert CheckpointFile(path).advance(head(5)) is False


def test_a_restored_database_stops_the_log(database_url: str, path: Path) -> None:
    db = open_database(database_url)
    db.migrate()
    sequencer = sequencer_for(db, path)
    grow(db, sequencer, 2)
    promised = grow(db, sequencer, 3)
    sequencer.close()
    forget_heads(database_url, above=2)

    restarted = sequencer_for(db, path)
    behind = restarted.check_checkpoint()
    assert behind is not None
    assert (behind.promised, behind.reached) == (5, 2)
    for attempt in (restarted.run_once, restarted.sign, restarted.step):
        with pytest.raises(BehindCheckpoint):
            attempt()
    append_events(db, "deal_b")
    with pytest.raises(BehindCheckpoint):
        restarted.ensure_covered("deal_b")
    assert in_file(path) == promised

    accepted = restarted.accept_gap()
    assert accepted is not None
    assert in_file(path) == accepted == db.read(rows.find_head)
    restarted.step()
    assert in_file(path).tree_size == 3
    assert sequencer_for(db, path).check_checkpoint() is None
    db.close()


def test_a_database_without_any_head_is_behind_too(db: Database, path: Path) -> None:
    """As after a start on an empty database with the old file still there."""
    path.parent.mkdir(parents=True)
    document = TreeHead(
        log_id=LogSettings().log_id,
        tree_size=9,
        root_hash="9" * 64,
        timestamp="2026-01-02T03:04:05.000000Z",
        key_id="key",
        signature="c2ln",
    ).document()
    path.write_text(json.dumps(document))
    sequencer = sequencer_for(db, path)
    behind = sequencer.check_checkpoint()
    assert behind is not None
    assert (behind.promised, behind.reached) == (9, 0)
    assert sequencer.accept_gap() is None
    assert not path.exists()
    grow(db, sequencer)


@pytest.mark.parametrize("size", [2, 5])
def test_a_contradicting_file_stops_the_log(db: Database, path: Path, size: int) -> None:
    """Equal or smaller size and another root: two histories."""
    sequencer = sequencer_for(db, path)
    grow(db, sequencer, 2)
    grow(db, sequencer, 3)
    document = {**in_file(path).document(), "tree_size": size, "root_hash": "0" * 64}
    path.write_text(json.dumps(document))
    with pytest.raises(CheckpointDiverged):
        sequencer_for(db, path).check_checkpoint()
    append_events(db, "deal_a")
    sequencer.run_once()
    with pytest.raises(CheckpointDiverged):
        sequencer.sign()
    assert db.read(rows.count_heads) == 2


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b'{"tree_size": -1}', b'{"tree_size": 1}'])
def test_a_damaged_file_is_refused_not_ignored(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    with pytest.raises(CheckpointDamaged):
        CheckpointFile(path).read()


def test_no_file_configured_keeps_none(db: Database) -> None:
    sequencer = Sequencer(db, MemorySigner(), LogSettings(head_interval_us=0))
    assert sequencer.check_checkpoint() is None
    assert CheckpointFile(None).advance(grow(db, sequencer)) is False
    assert CheckpointFile(None).read() is None
    assert sequencer.accept_gap() is not None
