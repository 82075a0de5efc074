"""The house rules that a linter cannot say. A failure lists `path:line: what is wrong`.

Guarantees: layers, sizes, headers, no floats near money, SQL only in SQL files and none of it dead,
every error code documented and tested, no sleeping tests, no loose ends. Rules about files that do
not exist yet pass until they do. The ratchet lists may only shrink: no entry outlives its need.
Does not: repeat what ruff, mypy and import-linter check.
"""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from typing import TYPE_CHECKING

import pytest

from scripts import generate_errors_doc
from settlement.core import errors
from tests.support import tree

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE_LINES_MAX = 400
TEST_MODULE_LINES_MAX = 600
FUNCTION_LINES_MAX = 60

# Ratchets: path or path::function -> lines allowed. They may only shrink; new entries are refused
# in review.
LONG_MODULES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}

#: What each floor may import of ours. `cli` and `wiring` stand on top and may import all.
MAY_IMPORT = {
    "core": {"core"},
    "faults": {"faults"},
    "tracing": {"tracing"},
    "store": {"core", "faults", "store"},
    "config": {"core", "config"},
    "signing": {"core", "signing"},
    "sealing": {"core", "signing", "sealing"},
    "service": {"core", "faults", "tracing", "store", "config", "signing", "sealing", "service"},
    "edge": {"core", "faults", "tracing", "store", "config", "signing", "service", "edge"},
}
#: Third-party packages that only these floors may import; core may import nothing but msgspec.
RESERVED = {
    "apsw": {"store"},
    "psycopg": {"store"},
    "psycopg_pool": {"store"},
    "litestar": {"edge", "wiring", "cli"},
    "uvicorn": {"edge", "wiring", "cli"},
    "opentelemetry": {"edge"},
}
CORE_MAY_USE = {"msgspec", "settlement", "__future__"}

SQL = re.compile(
    r"^\s*(SELECT\s|WITH\s+(RECURSIVE\s+)?\w+\s+AS\b"
    r"|(?i:select\b.+\bfrom\b|insert\s+(or\s+\w+\s+)?into\b|update\s+\w+\s+set\b|delete\s+from\b"
    r"|(create|alter|drop)\s+(or\s+replace\s+)?(unique\s+|temp\s+)?"
    r"(table|index|trigger|view|function|schema|database|role|type)\b))",
    re.DOTALL,
)
QUERY_NAME = re.compile(r"^-- name: (\S+)\s*$", re.MULTILINE)
QUERY_NAME_FORM = re.compile(r"[a-z]+(_[a-z0-9]+)+")
OPEN_END = re.compile(r"\b(TODO|FIXME|XXX)\b(?!: [A-Z][^.]{15,}\.)")
BLANKET = re.compile(r"#\s*(noqa(?!:\s?[A-Z])|type:\s*ignore(?!\[)|ruff:\s*noqa)")

# Spelt backwards, so that this file keeps the rule it makes.
UNWANTED_WORDS = [
    word[::-1] for word in ("oec", "edualc", "ciporhtna", "tnegabus", "derahs/..", "gro.ipyp")
]
UNWANTED_PATHS = [path[::-1] for path in ("/krow/", "/toor/", "/emoh/", "/w/pmt/", "/ipyp/tpo/")]
UNWANTED = re.compile(
    "|".join(
        [rf"(?<![\w.-]){re.escape(word)}(?!\w)" for word in UNWANTED_WORDS]
        + [rf"(?<![\w.}}/-]){re.escape(path)}" for path in UNWANTED_PATHS]
        + [r"(?<!\w)(issue|ticket)s? #?\d+"]
    ),
    re.IGNORECASE,
)
#: The rules and the examples they are tried on.
HERE = {"tests/test_house.py", "tests/support/test_tree.py"}


def report(findings: Iterator[str] | list[str]) -> None:
    found = sorted(findings)
    if found:
        pytest.fail("\n" + "\n".join(found), pytrace=False)


def floor_of(module: tree.Module) -> str:
    """The top-level name below `settlement`: core, store, wiring, …; "" for the package itself."""
    return module.path.relative_to(tree.ROOT / "src" / "settlement").with_suffix("").parts[0]


# --- layers --------------------------------------------------------------------------------------


def test_imports_only_point_down() -> None:
    def findings() -> Iterator[str]:
        for module in tree.modules("src"):
            allowed = MAY_IMPORT.get(floor_of(module))
            for line, name in tree.imports(module):
                parts = name.split(".")
                if parts[0] != "settlement" or allowed is None or len(parts) < 2:
                    continue
                if parts[1] == "__version__":  # the package's own, no floor's
                    continue
                if parts[1] not in allowed:
                    yield module.at(line, f"{floor_of(module)} must not import {name}")

    report(findings())


def test_no_relative_imports_hide_a_layer() -> None:
    report(
        module.at(node.lineno, "import by the full name")
        for module in tree.modules("src")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.level
    )


def test_packages_stay_on_their_floor() -> None:
    def findings() -> Iterator[str]:
        for module in tree.modules("src"):
            floor = floor_of(module)
            for line, name in tree.imports(module):
                package = name.split(".")[0]
                if floor not in RESERVED.get(package, {floor}):
                    yield module.at(line, f"{package} belongs to {sorted(RESERVED[package])}")
                known = package in CORE_MAY_USE or package in sys.stdlib_module_names
                if floor == "core" and not known:
                    yield module.at(line, f"core must not import {package}")

    report(findings())


# --- sizes and headers ---------------------------------------------------------------------------


def test_modules_fit() -> None:
    def findings() -> Iterator[str]:
        for module in tree.modules("src", "tests", "bench", "scripts"):
            limit = TEST_MODULE_LINES_MAX if module.name.startswith("tests/") else MODULE_LINES_MAX
            lines = module.text.count("\n")
            if lines > LONG_MODULES.get(module.name, limit):
                yield module.at(1, f"{lines} lines, {limit} allowed")
            if module.name in LONG_MODULES and lines <= limit:
                yield module.at(1, "fits now: take it off LONG_MODULES")

    report(findings())


def test_functions_fit() -> None:
    def findings() -> Iterator[str]:
        for module in tree.modules("src", "tests", "bench", "scripts"):
            for name, node in tree.functions(module):
                key, lines = f"{module.name}::{name}", tree.length(node)
                if lines > LONG_FUNCTIONS.get(key, FUNCTION_LINES_MAX):
                    yield module.at(node.lineno, f"{name} has {lines} lines")
                if key in LONG_FUNCTIONS and lines <= FUNCTION_LINES_MAX:
                    yield module.at(node.lineno, f"{name} fits now: take it off LONG_FUNCTIONS")

    report(findings())


def test_ratchets_name_what_exists() -> None:
    modules = {m.name: m for m in tree.modules("src", "tests", "bench", "scripts")}
    names = {f"{m.name}::{name}" for m in modules.values() for name, _ in tree.functions(m)}
    report([f"{key}: listed, but gone" for key in {*LONG_MODULES} - {*modules}])
    report([f"{key}: listed, but gone" for key in {*LONG_FUNCTIONS} - names])


def test_every_module_has_a_header() -> None:
    """What it is for, what it guarantees, what it does not do: three lines at least in `src`."""

    def findings() -> Iterator[str]:
        for module in tree.modules("src", "tests", "bench", "scripts"):
            header = (ast.get_docstring(module.tree) or "").splitlines()
            lines = sum(1 for line in header if line.strip())
            tiny = module.path.name == "__init__.py" and len(module.tree.body) <= 3
            wanted = 3 if module.name.startswith(("src/", "bench/")) and not tiny else 1
            if lines < (0 if tiny and not module.text.strip() else wanted):
                yield module.at(1, f"the header has {lines} lines, {wanted} wanted")

    report(findings())


def test_below_the_edge_nothing_is_async() -> None:
    floors = tuple(f"src/settlement/{floor}" for floor in ("core", "store", "service"))
    report(
        module.at(node.lineno, f"async {name}: see decision 0001")
        for module in tree.modules(*floors)
        for name, node in tree.functions(module)
        if isinstance(node, ast.AsyncFunctionDef)
    )


# --- money ---------------------------------------------------------------------------------------


def test_no_float_near_money() -> None:
    floors = tuple(f"src/settlement/{floor}" for floor in ("core", "store", "service"))
    report(
        module.at(line, found)
        for module in tree.modules(*floors)
        for line, found in tree.float_tokens(module)
    )


# --- SQL -----------------------------------------------------------------------------------------


@cache
def queries() -> tuple[tuple[str, int, str], ...]:
    """(file, line, name) of every named query."""
    found = []
    for path in sorted((tree.ROOT / "src/settlement/store/sql").glob("*.sql")):
        text = path.read_text("utf-8")
        for match in QUERY_NAME.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append((str(path.relative_to(tree.ROOT)), line, match.group(1)))
    return tuple(found)


def test_sql_lives_in_sql_files() -> None:
    report(
        module.at(line, f"SQL outside store/sql: {text.strip()[:40]!r}")
        for module in tree.modules("src")
        for line, text in tree.strings(module)
        if SQL.match(text)
    )


def test_every_query_is_named_and_used() -> None:
    used = {text for module in tree.modules("src") for _, text in tree.strings(module)}

    def findings() -> Iterator[str]:
        for file, line, name in queries():
            if not QUERY_NAME_FORM.fullmatch(name):
                yield f"{file}:{line}: {name} is not of the form noun_verb"
            if name not in used:
                yield f"{file}:{line}: {name} is used nowhere in src"

    report(findings())


def test_a_query_name_is_unique_per_database() -> None:
    """A noun's file and its override for one database may share names; two nouns may not."""
    homes: dict[str, set[str]] = {}
    for file, _, name in queries():
        homes.setdefault(name, set()).add(file.rsplit("/", 1)[1].split(".")[0])
    report([f"{name}: in {sorted(files)}" for name, files in homes.items() if len(files) > 1])


# --- errors --------------------------------------------------------------------------------------


def leaves() -> Iterator[type[errors.SettlementError]]:
    return iter(errors.BY_CODE.values())


def test_every_error_code_belongs_to_one_class() -> None:
    sources = [m.text for m in tree.modules("src") if "core/errors/" in m.name]
    codes = re.findall(r'^    code = "(\w+)"', "\n".join(sources), re.MULTILINE)
    report([f"{code}: used twice" for code in {*codes} if codes.count(code) > 1])
    report([f"{code}: not registered" for code in {*codes} - {*errors.BY_CODE}])


def test_the_page_of_errors_is_fresh() -> None:
    page = generate_errors_doc.PAGE
    assert page.read_text("utf-8") == generate_errors_doc.render(), "run `make errors-doc`"


def test_every_error_is_met_in_some_test() -> None:
    tests = [module for module in tree.modules("tests") if module.name not in HERE]
    said = {text for module in tests for _, text in tree.strings(module)}
    names = {
        node.id if isinstance(node, ast.Name) else node.attr
        for module in tests
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name | ast.Attribute)
    }
    report(
        f"{leaf.code} ({leaf.__name__}): no test expects it"
        for leaf in leaves()
        if leaf.code not in said and leaf.__name__ not in names
    )


# --- documents -----------------------------------------------------------------------------------


def test_links_between_documents_lead_somewhere() -> None:
    link = re.compile(r"\]\((?!https?:|#)([^)\s#]+)")

    def findings() -> Iterator[str]:
        for name, text in tree.text_files():
            if not name.endswith(".md"):
                continue
            for match in link.finditer(text):
                target = (tree.ROOT / name).parent / match.group(1)
                if not target.exists():
                    line = text.count("\n", 0, match.start()) + 1
                    yield f"{name}:{line}: {match.group(1)} does not exist"

    report(findings())


def test_invariants_name_tests_that_exist() -> None:
    page = tree.ROOT / "docs" / "invariants.md"
    named = set(re.findall(r"`(test_\w+)`", page.read_text("utf-8")))
    existing = {name for module in tree.modules("tests") for name, _ in tree.functions(module)}
    report([f"docs/invariants.md: {name} does not exist" for name in named - existing])


def test_decisions_have_their_shape() -> None:
    parts = ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]

    def findings() -> Iterator[str]:
        folder = tree.ROOT / "docs" / "decisions"
        index = (folder / "README.md").read_text("utf-8")
        for path in sorted(folder.glob("[0-9]*.md")):
            text = path.read_text("utf-8")
            if re.findall(r"^## (.+)$", text, re.MULTILINE) != parts:
                yield f"docs/decisions/{path.name}: the sections are {parts}"
            if not text.startswith(f"# {path.name[:4]}. "):
                yield f"docs/decisions/{path.name}: the title begins with the number"
            if path.name not in index:
                yield f"docs/decisions/{path.name}: missing in README.md"

    report(findings())


# --- loose ends ----------------------------------------------------------------------------------


def test_tests_never_sleep() -> None:
    def sleeps(node: ast.AST) -> bool:
        match node:
            case ast.Attribute(value=ast.Name(id="time"), attr="sleep"):
                return True
            case ast.ImportFrom(module="time", names=names):
                return any(alias.name == "sleep" for alias in names)
        return False

    report(
        module.at(getattr(node, "lineno", 1), "a test waits for an event, never for a time")
        for module in tree.modules("tests")
        for node in ast.walk(module.tree)
        if sleeps(node)
    )


def lines_matching(pattern: re.Pattern[str], suffixes: tuple[str, ...]) -> Iterator[str]:
    for name, text in tree.text_files():
        if name in HERE or not name.endswith(suffixes):
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            found = pattern.search(line)
            if found:
                yield f"{name}:{number}: {found.group(0)!r}"


def test_open_ends_say_what_would_settle_them() -> None:
    report(lines_matching(OPEN_END, (".py", ".sql", ".md", ".sh", ".toml", "Makefile")))


def test_no_blanket_silencing() -> None:
    report(lines_matching(BLANKET, (".py",)))


def test_the_tree_names_no_machine_and_no_registry() -> None:
    report(lines_matching(UNWANTED, ("",)))


def test_lock_files_hold_versions_and_hashes_only() -> None:
    pinned = r"[A-Za-z0-9._-]+(\[[\w,-]+\])?==\S+( ; .+)? \\"
    line = re.compile(pinned + r"|    --hash=sha256:[0-9a-f]{64}( \\)?")
    report(
        f"{name}:{number}: {text!r}"
        for name, whole in tree.text_files()
        if name.endswith(".lock")
        for number, text in enumerate(whole.splitlines(), start=1)
        if not line.fullmatch(text)
    )
