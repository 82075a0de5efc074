"""The payment page of a deal: what is owed, for what, and how far it is (contract §3.4).

Guarantees: plain HTML without scripts; everything shown is escaped; the address is the same for
every replay of a GO.
Does not: take payment details. A rail that takes money on its own page is linked from here.

Change colour: green.
"""

from __future__ import annotations

from html import escape
from typing import Any, Final

from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from settlement.core.money import Asset, format_exact
from settlement.edge.http import promises
from settlement.edge.http.answers import reading
from settlement.edge.http.auth import PUBLIC
from settlement.edge.http.paths import deal_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import deals

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Payment for {deal_id}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto }}
dt {{ color: #555 }} dd {{ margin: 0 0 1rem }} .amount {{ font-size: 2rem }}
</style>
</head>
<body>
<h1>Payment</h1>
<dl>
<dt>Amount</dt><dd class="amount">{amount}</dd>
<dt>For</dt><dd>{summary}</dd>
<dt>Deal</dt><dd><code>{deal_id}</code></dd>
<dt>Status</dt><dd>{status}</dd>
</dl>
<p>{note}</p>
</body>
</html>
"""
_SANDBOX_NOTE: Final = (
    "This server runs in sandbox mode: money is pretended, and nothing needs to be paid here."
)
_LIVE_NOTE: Final = "The rail of this server takes the payment; nothing is charged by this page."


@endpoint(
    "GET",
    "/pay/{deal_id:str}",
    access=PUBLIC,
    answer=promises.Document,
    media_type="text/html",
)
async def pay_page(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """The payment page of a deal, for people."""
    found = await reading(request, deals.payment, deal_in_path(deal_id))
    note = _SANDBOX_NOTE if request.services.settings.sandbox else _LIVE_NOTE
    return ASGIResponse(body=_render(found, note), media_type="text/html", headers=_HEADERS)


def _render(found: dict[str, Any], note: str) -> bytes:
    asset = Asset.parse(found["asset"])
    amount = f"{format_exact(found['amount_minor'], asset)} {asset.currency}"
    shown = {
        "deal_id": found["deal_id"],
        "amount": amount,
        "summary": found["summary"] or "(no description)",
        "status": found["status"],
        "note": note,
    }
    return _PAGE.format(**{name: escape(text) for name, text in shown.items()}).encode()


ROUTES = (pay_page,)
