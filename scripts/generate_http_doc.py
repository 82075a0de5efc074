"""Writes docs/http.md from the routes, or with --check says whether it is stale.

Guarantees: the same routes always give the same bytes, so a test can compare.
Does not: describe anything itself; `settlement.edge.http.reference` does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

from settlement.config import load
from settlement.edge.http.app import create_app
from settlement.edge.http.reference import render

PAGE = Path(__file__).resolve().parents[1] / "docs" / "http.md"


class Unassembled:
    """Stands where services would: no route runs here, so none is ever used."""

    db = None
    settings = load({})


def page() -> str:
    """The page as it should be."""
    return render(create_app(cast("Any", Unassembled())))


def main(arguments: list[str]) -> int:
    if "--check" in arguments:
        current = PAGE.read_text("utf-8") if PAGE.exists() else ""
        return 0 if current == page() else 1
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
