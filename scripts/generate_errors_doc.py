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

PAGE = Path(__file__).resolve().parents[1] / "docs" / "errors.md"

#: kind -> (status, what it means for the caller); the statuses are those of spec §1.5.
KINDS = {
    errors.Kind.INVALID: (
        "422",
        "Wrong in itself: sending it again unchanged cannot help. Some are 400, where marked.",
    ),
    errors.Kind.UNAUTHENTICATED: ("401", "No key, or one that does not count any more."),
    errors.Kind.FORBIDDEN: ("403", "The key is good, but it may not do this."),
    errors.Kind.NOT_FOUND: (
        "404",
        "There is no such thing, or it is not yours to see; a stranger cannot tell which.",
    ),
    errors.Kind.REJECTED: (
        "409",
        "Understood and refused, because of the state things are in. Nothing was done.",
    ),
    errors.Kind.CONFLICT: ("409", "Another call was first, or is under way."),
    errors.Kind.EXHAUSTED: ("429", "Too many calls; `Retry-After` says how long to wait."),
    errors.Kind.UNAVAILABLE: ("503", "We cannot answer at the moment. Nothing was done."),
    errors.Kind.CORRUPT: (
        "500",
        "The books contradict themselves. The service stops acting on them and calls a person.",
    ),
}

RETRIES = {
    errors.Retry.NEVER: "do not send it again; it will be refused again",
    errors.Retry.SAME_KEY: "send the same request again, under the same key",
    errors.Retry.NEW_KEY: "this key has its answer; when things have changed, use a new key",
    errors.Retry.LATER: "the same request may succeed once what it waits for has happened",
}

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
    for kind, (status, meaning) in KINDS.items():
        leaves = sorted(code for code, leaf in errors.BY_CODE.items() if leaf.kind is kind)
        parts.append(f"\n## {kind.replace('_', ' ')}: {status}\n\n{meaning}\n")
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
