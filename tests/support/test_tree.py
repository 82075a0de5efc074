"""The house rules' eyes: each reader finds what is planted and is not fooled by look-alikes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support import tree
from tests.test_house import BLANKET, OPEN_END, SQL, UNWANTED


def module(text: str) -> tree.Module:
    return tree.Module(tree.ROOT / "src" / "planted.py", text, ast.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "select id from deals where id = ?",
        "INSERT INTO deals VALUES (1)",
        "insert or ignore into claims values (1)",
        "UPDATE deals SET state = 1",
        "DELETE FROM deals",
        "\n  CREATE TABLE x (id text)",
        "CREATE UNIQUE INDEX i ON t (c)",
        "WITH due AS (SELECT 1) SELECT * FROM due",
        "drop table deals",
    ],
)
def test_sql_is_seen(text: str) -> None:
    assert SQL.match(text)


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN IMMEDIATE",
        "PRAGMA journal_mode=WAL",
        "Update your key and set a new scope.",
        "Select one of the providers.",
        "With a mandate the buyer need not be there.",
        "Create a deal first.",
        "selected from the list",
    ],
)
def test_prose_and_session_commands_are_not_sql(text: str) -> None:
    assert SQL.match(text) is None


def test_floats_are_seen_in_code_only() -> None:
    text = "# float 1.5\nx = 'float 1.5'\ny: float = 1\nz = 2.5\nw = 0xE1\nv = 1e3\n"
    found = [what for _, what in tree.float_tokens(module(text))]
    assert found == ["the name float", "the float literal 2.5", "the float literal 1e3"]


def test_strings_leave_docstrings_out_and_join_f_strings() -> None:
    text = '"""Header."""\ndef f():\n    """Doc."""\n    return f"a {1} b", "c"\n'
    assert sorted(value for _, value in tree.strings(module(text))) == ["a {} b", "c"]


def test_imports_are_named_in_full() -> None:
    text = "import a.b\nfrom settlement import store\nfrom settlement.core.ids import DealId\n"
    found = [name for _, name in tree.imports(module(text))]
    assert found == ["a.b", "settlement.store", "settlement.core.ids.DealId"]


def test_functions_are_measured_with_their_place() -> None:
    text = "class A:\n    def f(self):\n        def g():\n            pass\n        return g\n"
    found = [(name, tree.length(node)) for name, node in tree.functions(module(text))]
    assert found == [("A.f", 4), ("A.f.g", 2)]


def test_loose_ends_are_seen() -> None:
    assert OPEN_END.search("# TODO fix")
    assert not OPEN_END.search("# TODO: Drop this once SQLite can alter a check.")
    assert BLANKET.search("x = 1  # noqa")
    assert not BLANKET.search("x = 1  # noqa: S608 - names only")
    assert BLANKET.search("x = 1  # type: ignore")
    assert not BLANKET.search("x = 1  # type: ignore[arg-type]")


def test_places_on_a_machine_are_seen() -> None:
    assert UNWANTED.search("see " + str(Path("/", "root", "x")))
    assert UNWANTED.search("index " + "https://" + "pypi" + ".org/simple")
    assert not UNWANTED.search("POST /protocol/home and docs/work/notes")
