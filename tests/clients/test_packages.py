"""The published clients are installed in the pinned versions, and their known defects are theirs.

A missing package fails here; nothing is ever skipped. The defects (contract §7) are stated so that
nobody bends the server towards them, and so that a repaired client is noticed.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

import aigentsy_verify
import pytest
from aigentsy_verify import keys

from settlement.core import merkle

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.clients
PINS = {
    "aigentsy": "1.17.2",
    "aigentsy-mcp": "1.4.0",
    "aigentsy-langgraph": "0.4.0",
    "aigentsy-verify": "1.6.3",
}


@pytest.mark.parametrize("package", PINS)
def test_every_client_is_installed_in_its_pinned_version(package: str) -> None:
    """Catches: a run that passes because the clients it should drive are not there."""
    assert version(package) == PINS[package]
    import_module(package.replace("-", "_"))


def test_the_mcp_server_needs_mcp_before_version_2() -> None:
    """Defect 1: aigentsy-mcp declares mcp>=1.0 and imports what mcp 2 lacks."""
    assert version("mcp").split(".")[0] == "1"
    import_module("mcp.server.fastmcp")


class Leaves:
    """A stored log of a few leaves."""

    def __init__(self, count: int) -> None:
        self.row = [merkle.leaf_hash(bytes([n])) for n in range(count)]

    def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        assert level == 0
        return self.row[start : start + count]


def test_the_verifiers_consistency_check_refuses_proofs_that_are_correct() -> None:
    """Defect 4. Catches: a server that serves wrong proofs to please it; ours are RFC 6962."""
    log = Leaves(16)
    for new in range(3, 17):
        for old in range(2, new):
            roots = [merkle.root_at(size, log) for size in (old, new)]
            proof = merkle.consistency(old, new, log)
            assert merkle.verify_consistency(old, new, roots[0], roots[1], proof)
            before, after = (root.hex() for root in roots)
            texts = [one.hex() for one in proof]
            verdict = aigentsy_verify.verify_consistency(old, new, before, after, texts)
            assert not verdict, f"repaired for {old} of {new}: use it"
    anything = aigentsy_verify.verify_consistency(0, 7, "0" * 64, "f" * 64, ["no proof"])
    assert anything, "it accepts any tree after the empty one"


def test_the_verifiers_key_option_reads_json_whatever_its_help_says(tmp_path: Path) -> None:
    """Defect 5: `--public-key` is described as a PEM file; a PEM is unreadable to it."""
    pem = tmp_path / "key.pem"
    body = base64.b64encode(bytes(44)).decode()
    pem.write_text(f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    bundle = tmp_path / "bundle.json"
    bundle.write_text(json.dumps({"deal_id": "deal_1", "events": [], "proofs": []}))
    command = [sys.executable, "-m", "aigentsy_verify", "bundle", str(bundle)]
    done = subprocess.run([*command, "--public-key", str(pem)], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"cannot load public key" in done.stderr
    assert keys.PUBLIC_KEY_URL.startswith("https://"), "--fetch-key asks the vendor, always"
