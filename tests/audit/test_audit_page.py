"""docs/audit.md says of every check what it compares."""

from __future__ import annotations

import re

from settlement.service.audit import CHECKS
from tests.support.tree import ROOT


def test_the_page_has_a_row_for_every_check_in_order() -> None:
    """Catches a check that nobody can look up."""
    text = (ROOT / "docs" / "audit.md").read_text("utf-8")
    rows = [int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert rows == [check.number for check in CHECKS] == list(range(1, 48))
