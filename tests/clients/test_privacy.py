"""What must not be found where others can look: quotes, keys, addresses.

Searched: every public page about a deal, the refusals around it, the keys' look-ups and the
server's own log. Bids and webhooks: with the endpoints they belong to.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.clients.sdk import GO_MEMBERS, SyncSdk

if TYPE_CHECKING:
    from tests.support.server import Server

pytestmark = pytest.mark.clients


def test_a_quote_is_shown_once(sdk: SyncSdk, server: Server) -> None:
    """Catches: a bearer secret in an event, a bundle, a replay, an error or a log line."""
    seller = sdk.registered()
    pack = sdk.ok("create_proof_pack", seller)
    deal, quote, lock = (pack[name] for name in GO_MEMBERS)
    seen: list[object] = []
    for wrong in ((deal, quote, "0" * 32), (deal, "quote_" + "0" * 32, lock)):
        with pytest.raises(httpx.HTTPStatusError) as caught:
            sdk.call("go", *wrong)
        seen.append(caught.value.response.text)
    go = sdk.ok("go", deal, quote, lock)
    seen += [go, sdk.ok("go", deal, quote, lock)]
    settled = sdk.ok("settle", deal, pack["estimated_price"], seller, "buyer")
    seen += [settled, sdk.ok("get_timeline", deal), sdk.ok("get_attribution", deal)]
    seen += [sdk.ok("get_idempotency_receipt", body["idempotency_key"]) for body in (go, settled)]
    seen += [
        server.get(path)
        for path in (
            f"/proof/{deal}",
            f"/proof/{deal}/verify",
            f"/protocol/proofs/{deal}/export",
            f"/protocol/deals/{deal}/splits",
            f"/protocol/verify/{deal}/receipt",
        )
    ]
    found = [place for place in seen if quote in json.dumps(place, default=str)]
    assert found == []
    log = server.log.read_text("utf-8")
    assert quote not in log
    assert sdk.key is not None
    assert sdk.key not in log


def test_a_key_is_kept_as_a_hash_only(sdk: SyncSdk, server: Server) -> None:
    """Catches: a plaintext key in the database's files or the rail's, the log or the checkpoint."""
    sdk.registered()
    assert sdk.key is not None
    secret = sdk.key.rsplit("_", 1)[1].encode()
    directory = server.deployment.directory
    holders = [
        path for path in directory.rglob("*") if path.is_file() and secret in path.read_bytes()
    ]
    assert holders == []
