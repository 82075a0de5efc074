"""The audit leaves its verdict for whoever watches, and only that of the books that are served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.running import run

if TYPE_CHECKING:
    from pathlib import Path


def test_the_audit_leaves_its_verdict_where_the_settings_say(tmp_path: Path) -> None:
    """Broken build: the alert on a failed audit looks at a file nobody writes."""
    url = f"sqlite:///{tmp_path / 'books.db'}"
    where = tmp_path / "said.json"
    settings = {"SETTLEMENT_DATABASE": url, "SETTLEMENT_AUDIT_FILE": str(where)}
    assert run(tmp_path, "migrate", **settings).code == 0
    report = run(tmp_path, "audit", "--json", **settings).json()
    left = json.loads(where.read_text("utf-8"))
    assert left["ok"] is report["ok"] is True
    assert (left["audited_at"], left["failed"]) == (report["audited_at"], [])


def test_an_audit_of_other_books_leaves_no_verdict(tmp_path: Path) -> None:
    """Broken build: looking into an old copy tells the pager that all is well."""
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    where = tmp_path / "said.json"
    assert run(tmp_path, "migrate", "--database", url).code == 0
    done = run(tmp_path, "audit", "--json", "--database", url, SETTLEMENT_AUDIT_FILE=str(where))
    assert done.code == 0
    assert not where.exists()


def test_a_verdict_that_cannot_be_left_changes_no_exit_code(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'books.db'}"
    settings = {
        "SETTLEMENT_DATABASE": url,
        "SETTLEMENT_AUDIT_FILE": str(tmp_path / "nowhere" / "said.json"),
    }
    assert run(tmp_path, "migrate", **settings).code == 0
    done = run(tmp_path, "audit", "--json", **settings)
    assert done.code == 0
    assert done.json()["ok"] is True
    assert "was not left" in done.err
