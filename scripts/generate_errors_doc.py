"""Writes docs/errors.md from the error classes, or with --check says whether it is stale.

Guarantees: one section per code, in the order of the kinds and then of the code; the same classes
always give the same bytes, so a test can compare. The page is where `/problems/<code>` leads.
Does not: decide anything; codes, titles, sentences and advice live in `core/errors/`, and the
status of a kind in `edge/http/problems.py`.
"""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from settlement.core import errors
from settlement.core.errors.meanings import KINDS, RETRIES
from settlement.edge.http.problems import STATUS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "errors.md"

HEAD = """\
# Errors

<!-- Made by scripts/generate_errors_doc.py from src/settlement/core/errors/: change it there. -->

Every refusal is one JSON object (RFC 9457, `application/problem+json`). `error` holds the stable
code and `type` is `/problems/<code>`; `title` never changes for a code; `detail` is a sentence for
people, made from the members listed below, which are also there as members of their own. `retry`
answers the question that every caller has:

| `retry` | what to do |
|---|---|
"""


def render() -> str:
    """The whole page."""
    parts = [HEAD]
    parts += [f"| `{retry}` | {meaning} |\n" for retry, meaning in RETRIES.items()]
    for kind, meaning in KINDS.items():
        leaves = sorted(code for code, leaf in errors.BY_CODE.items() if leaf.kind is kind)
        parts.append(f"\n## {kind.replace('_', ' ')}: {STATUS[kind]}\n\n{meaning}\n")
        parts += [_section(errors.BY_CODE[code]) for code in leaves]
    return "".join(parts)


def _section(leaf: type[errors.SettlementError]) -> str:
    said = " ".join(part for part in (leaf.message, leaf.advice) if part)
    lines = [f"\n### {leaf.code}\n\n{leaf.title}. Retry: `{leaf.retry}`."]
    if leaf.bad_request:
        lines.append(" Status 400.")
    if leaf is errors.MethodNotAllowed:
        lines.append(" Status 405.")
    lines.append(f"\n\n> {said}\n" if said else "\n")
    named: Any = leaf  # every leaf is a dataclass
    members = [f"`{field.name}` ({field.type})" for field in fields(named)]
    if members:
        lines.append(f"\nMembers: {', '.join(members)}.\n")
    return "".join(lines)


def main(arguments: list[str]) -> int:
    if "--check" in arguments:
        current = PAGE.read_text("utf-8") if PAGE.exists() else ""
        return 0 if current == render() else 1
    PAGE.write_text(render(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
