"""`settlement vectors`: write the published vector files, or compare them byte for byte.

The bytes come from `core/vectors.py`, which computes them with the functions the service runs.
Does not: know what is in them.
Change colour: green.
"""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from settlement.cli.output import EXIT_NO, EXIT_OK, console, emit, json_option
from settlement.core.vectors import render_conformance_vectors, render_test_vectors

FILES = {
    "schemas/test_vectors.json": render_test_vectors,
    "data/conformance_vectors.json": render_conformance_vectors,
}


@click.command()
@click.option("--check", is_flag=True, help="Compare, write nothing; exit 1 on a difference.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="here",
    help="Directory that holds schemas/ and data/.",
)
@json_option
def vectors(*, check: bool, directory: Path, as_json: bool) -> int:
    """Write the conformance vectors that others test against, or check those written."""
    states = {}
    for name, render in FILES.items():
        path, wanted = directory / name, render()
        before = path.read_bytes() if path.is_file() else None
        states[name] = "same" if before == wanted else "missing" if before is None else "differs"
        if states[name] != "same" and not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wanted)
            states[name] = "written"
    good = not ({"differs", "missing"} & set(states.values()))
    if as_json:
        emit({"ok": good, "files": states})
    else:
        for name, state in states.items():
            console().print(f"{state:8} {name}")
        if not good:
            console().print(
                "Run `settlement vectors` and look at the difference before you commit."
            )
    return EXIT_OK if good else EXIT_NO
