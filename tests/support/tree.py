"""Reads the source tree for the house rules: files, syntax trees, strings, imports, sizes.

Guarantees: every finding is a line `path:line: what is wrong`, sorted, so that a failing rule reads
like a compiler's output. Files are the ones git knows or would add; without git, the ones on disk.
Does not: hold rules; those are in `tests/test_house.py`.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file, parsed once."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    def at(self, line: int, finding: str) -> str:
        return f"{self.name}:{line}: {finding}"


@cache
def modules(*tops: str) -> tuple[Module, ...]:
    """The Python files below the given directories of the repository."""
    paths = sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))
    return tuple(_parse(path) for path in paths if "__pycache__" not in path.parts)


@cache
def _parse(path: Path) -> Module:
    text = path.read_text("utf-8")
    return Module(path, text, ast.parse(text))


@cache
def text_files() -> tuple[tuple[str, str], ...]:
    """Name and text of every file of the project that is text."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    names = [name for name in done.stdout.split("\0") if name]
    if done.returncode != 0:
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if ".venv" not in p.parts]
    return tuple(_read_texts(sorted(set(names))))


def _read_texts(names: list[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        path = ROOT / name
        if path.is_file():
            try:
                yield name, path.read_text("utf-8")
            except UnicodeDecodeError:
                continue


def strings(module: Module) -> Iterator[tuple[int, str]]:
    """Every string constant that is not a docstring; the parts of an f-string joined."""
    skipped: set[int] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr):  # a docstring, or a string that goes nowhere
            skipped.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            parts = [part for part in node.values if isinstance(part, ast.Constant)]
            skipped |= {id(part) for part in parts}
            yield node.lineno, "{}".join(str(part.value) for part in parts)
        elif isinstance(node, ast.Constant):
            value = node.value
            if isinstance(value, str) and id(node) not in skipped:
                yield node.lineno, value


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Every imported module by its full dotted name (`from a import b` gives `a.b`)."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, f"{node.module or ''}.{alias.name}"


def functions(module: Module) -> Iterator[tuple[str, FunctionNode]]:
    """Every function with its qualified name, nested ones too."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, FunctionNode]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, FunctionNode):
                yield prefix + child.name, child
                yield from walk(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.")
            else:
                yield from walk(child, prefix)

    return walk(module.tree, "")


def length(node: FunctionNode) -> int:
    """Lines from `def` to the last line; decorators do not count."""
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def float_tokens(module: Module) -> Iterator[tuple[int, str]]:
    """The name `float` and float literals; comments and strings do not count."""
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.NAME and token.string == "float":
            yield token.start[0], "the name float"
        elif token.type == tokenize.NUMBER and _is_float_literal(token.string):
            yield token.start[0], f"the float literal {token.string}"


def _is_float_literal(text: str) -> bool:
    return not text.lower().startswith("0x") and re.search(r"[.eEjJ]", text) is not None
