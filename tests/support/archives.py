"""Helpers for tests of backups: a house with a history, archives of it, and what they hold.

Does not: use our own reader to say what an archive holds; tarfile and gzip do.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from typing import TYPE_CHECKING

from settlement.service.backup import BackupPlan, Taken, take_backup
from settlement.service.restore import Installed, checked, install
from settlement.store.replacing import SqlitePlace, place_of

if TYPE_CHECKING:
    from pathlib import Path

    from settlement.wiring import Services
    from tests.support.house import Play


def history(play: Play) -> list[str]:
    """Deals in every stage: paid, settled, waiting for a rail, approved, offered; their ids."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deals = [play.proof(seller, price_minor=10_000 + n) for n in range(5)]
    play.receipt(deals[0])
    for deal in deals[1:]:
        play.go(deal, buyer)
    play.go(deals[0], buyer)
    for deal in deals[:2]:
        play.settle(deal, seller, sent_key=f"settle-{deal['deal_id']}")
    play.work()
    play.payout(deals[0], seller)
    play.work()
    play.sign()
    play.settle(deals[2], seller)
    return [str(deal["deal_id"]) for deal in deals]


def back_up(services: Services, out: Path, keep: int = 14) -> Taken:
    """An archive of a house, signed by its log's key."""
    return take_backup(services.db, BackupPlan(out=out, keep=keep), services.signer)


def restore(archive: Path, url: str) -> Installed:
    """Check an archive and install it, as the command does."""
    path = _file(url)
    with place_of(url, path) as place:
        beside = place.path if isinstance(place, SqlitePlace) else None
        with checked(archive, {}, beside) as found:
            assert found.sound, found.audit.failed()
            return install(found, place, "tests")


def _file(url: str) -> Path | None:
    from pathlib import Path

    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def members_of(archive: Path) -> dict[str, bytes]:
    """Every file of an archive."""
    with tarfile.open(archive, "r:gz") as tar:
        found = {}
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
        return found


def unpacked(archive: Path) -> bytes:
    """The tar inside."""
    return gzip.decompress(archive.read_bytes())


def repack(archive: Path, tar: bytes) -> None:
    """Put another tar into an archive, with a digest that fits: only its lines can tell."""
    archive.write_bytes(gzip.compress(tar, mtime=0))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.with_name(f"{archive.name}.sha256").write_text(f"{digest}  {archive.name}\n")
