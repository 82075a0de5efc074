"""The payment page of a deal or a top-up: how much, for what, how to pay it (contract §3.4).

Guarantees: everything shown is escaped; the address is the same for every replay of a GO; a rail
that takes payments is asked only for a deal that was approved and still wants money, and a rail
that does not answer within five seconds leaves a page that says so. Only the rail's own script and
the few lines here may run, and they talk to the rail alone.
Does not: take payment details, or believe that it was paid: the rail's message does.

Change colour: amber.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from html import escape
from typing import TYPE_CHECKING, Any, Final

from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from settlement.core.money import Asset, format_exact
from settlement.core.rail import RailSilent
from settlement.edge.http import promises
from settlement.edge.http.answers import reading
from settlement.edge.http.auth import PUBLIC
from settlement.edge.http.paths import deal_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import deals, topups

if TYPE_CHECKING:
    from settlement.core.topups import TopupRequest
    from settlement.edge.payment_desk import PaymentDesk, PaymentForm

logger = logging.getLogger(__name__)

#: Nothing waits longer than five seconds (contract §1.1), and the page has to be made, too.
_DESK_SECONDS: Final = 4
_HEADERS: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_PLAIN_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_STRIPE_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
    " script-src 'nonce-{nonce}' https://js.stripe.com https://*.js.stripe.com;"
    " frame-src https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com;"
    " connect-src https://api.stripe.com; img-src https://*.stripe.com data:"
)
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Payment for {deal_id}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto }}
dt {{ color: #555 }} dd {{ margin: 0 0 1rem }} .amount {{ font-size: 2rem }}
button {{ font: inherit; padding: .6rem 2rem; margin-top: 1rem }}
</style>
</head>
<body>
<h1>Payment</h1>
<dl>
<dt>Amount</dt><dd class="amount">{amount}</dd>
<dt>For</dt><dd>{summary}</dd>
<dt>Reference</dt><dd><code>{deal_id}</code></dd>
<dt>Status</dt><dd>{status}</dd>
</dl>
<p id="note">{note}</p>
{form}</body>
</html>
"""
_STRIPE_FORM: Final = """<form id="pay" data-key="{key}" data-secret="{secret}"
 data-payment="{payment_ref}" data-back="{back}">
<div id="element"></div>
<button>Pay {amount}</button>
</form>
<script src="https://js.stripe.com/v3/"></script>
<script nonce="{nonce}">
const form = document.getElementById("pay");
const note = document.getElementById("note");
const stripe = Stripe(form.dataset.key);
const elements = stripe.elements({{ clientSecret: form.dataset.secret }});
elements.create("payment").mount("#element");
form.addEventListener("submit", async (event) => {{
  event.preventDefault();
  form.querySelector("button").disabled = true;
  const done = await stripe.confirmPayment({{
    elements, confirmParams: {{ return_url: form.dataset.back }},
  }});
  note.textContent = done.error.message;
  form.querySelector("button").disabled = false;
}});
</script>
"""
_SANDBOX_NOTE: Final = (
    "This server runs in sandbox mode: money is pretended, and nothing needs to be paid here."
)
_STAGING_NOTE: Final = (
    "This server's rail moves no money. Its signed message says that this was paid; nothing is"
    " charged by this page."
)
_NOT_APPROVED: Final = "Nothing is owed: the deal has not been approved."
_IN_ESCROW: Final = "This is paid. The money is kept until the deal is settled."
_TOPUP_NOTES: Final = {
    "open": "Pay here. The money is on the balance as soon as the payment provider has said so.",
    "paid": "This is paid. It is on the balance when the payment provider's message has arrived.",
}
_OVER: Final = "Nothing is owed any more."
_NO_ANSWER: Final = (
    "The payment provider does not answer. Nothing was charged; open this page again in a minute."
)
_AT_DESK: Final = {
    "open": "Pay here. The money is kept until the deal is settled.",
    "processing": "The payment provider is working on this payment; there is nothing to do.",
    "paid": "This is paid, and will show here as soon as the payment provider's message arrives.",
    "cancelled": "The payment provider has cancelled this payment. Ask this server's operator.",
}


@endpoint(
    "GET",
    "/pay/{deal_id:str}",
    access=PUBLIC,
    answer=promises.Document,
    media_type="text/html",
)
async def pay_page(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """The payment page of a deal or a top-up, for people."""
    known = deal_in_path(deal_id)
    if topups.is_topup_id(known):
        topup = await reading(request, topups.find_topup, known)
        if topup is not None:
            return await _topup_page(request, topup)
    found = await reading(request, deals.payment, known)
    desk = request.services.desk
    if desk is None:
        note = _SANDBOX_NOTE if request.services.settings.sandbox else _STAGING_NOTE
        return _page(found, note)
    if found["state"] != "go_approved":
        return _page(found, _NOT_APPROVED if found["before_approval"] else _OVER)
    if found["in_escrow_minor"] >= found["amount_minor"]:
        return _page(found, _IN_ESCROW)
    form = await _form(desk, found)
    if form is None:
        return _page(found, _NO_ANSWER)
    back = f"{request.services.settings.base_url}/pay/{found['deal_id']}"
    return _page(found, _AT_DESK[form.state], form if form.state == "open" else None, back)


async def _topup_page(request: EdgeRequest, topup: TopupRequest) -> ASGIResponse:
    """As for a deal; whether it is paid is the rail's to say."""
    found = {
        "deal_id": topup.topup_id,
        "asset": topup.asset,
        "amount_minor": topup.amount_minor,
        "summary": "Top-up of a balance",
        "status": "asked for",
    }
    desk = request.services.desk
    if desk is None:
        return _page(found, _SANDBOX_NOTE if request.services.settings.sandbox else _STAGING_NOTE)
    form = await _form(desk, {**found, "deal_id": topup.stream})
    if form is None:
        return _page(found, _NO_ANSWER)
    note = _TOPUP_NOTES.get(form.state, _AT_DESK[form.state])
    back = f"{request.services.settings.base_url}/pay/{topup.topup_id}"
    return _page(found, note, form if form.state == "open" else None, back)


async def _form(desk: PaymentDesk, found: dict[str, Any]) -> PaymentForm | None:
    """The payment at the rail; None where it does not answer in time."""
    try:
        opening = desk.open(found["deal_id"], found["asset"], found["amount_minor"])
        return await asyncio.wait_for(asyncio.wrap_future(opening), _DESK_SECONDS)
    except RailSilent as silence:
        logger.warning("payment page of %s: %s", found["deal_id"], silence)
    except TimeoutError:
        logger.warning("payment page of %s: the rail does not answer in time", found["deal_id"])
    return None


def _page(
    found: dict[str, Any], note: str, form: PaymentForm | None = None, back: str = ""
) -> ASGIResponse:
    asset = Asset.parse(found["asset"])
    shown = {
        "deal_id": found["deal_id"],
        "amount": f"{format_exact(found['amount_minor'], asset)} {asset.currency}",
        "summary": found["summary"] or "(no description)",
        "status": found["status"],
        "note": note,
    }
    safe = {name: escape(text) for name, text in shown.items()}
    policy, filled = _PLAIN_POLICY, ""
    if form is not None:
        nonce = secrets.token_urlsafe(16)
        policy = _STRIPE_POLICY.format(nonce=nonce)
        members = {
            "key": form.publishable_key,
            "secret": form.client_secret,
            "payment_ref": form.payment_ref,
            "back": back,
            "nonce": nonce,
        }
        filled = _STRIPE_FORM.format(
            amount=safe["amount"], **{name: escape(text) for name, text in members.items()}
        )
    body = _PAGE.format(**safe, form=filled).encode()
    headers = {**_HEADERS, "Content-Security-Policy": policy}
    return ASGIResponse(body=body, media_type="text/html", headers=headers)


ROUTES = (pay_page,)
