"""`settlement demo`: one deal from registration to a proof verified offline, told step by step.

For: whoever wants to see what this does, in a minute, without setting anything up.
Guarantees: everything shown is an answer of a real server over HTTP: a throw-away one in a
temporary directory, or the one given; the bundle is verified after that server has been stopped.
Does not: leave anything behind, or need a key.
Change colour: green.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from settlement.cli.output import EXIT_NO, EXIT_OK, emit, json_option
from settlement.cli.stage import Client, Teller, throw_away_server
from settlement.core.bundle_check import verify_bundle
from settlement.core.canonical import load_json
from settlement.signing import verify_ed25519

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.core.bundle_check import BundleReport

_POLLS: Final = 60


@click.command()
@click.option("--url", metavar="URL", help="Use this server instead of a throw-away one.")
@click.option(
    "--database", metavar="URL", help="Database of the throw-away server; default: an SQLite file."
)
@json_option
def demo(*, url: str | None, database: str | None, as_json: bool) -> int:
    """Play a whole deal: proof, approval, settlement, payout, books, evidence checked offline."""
    teller = Teller(silent=as_json)
    with _server(url, database, teller) as address:
        story = Story(client=Client(address), teller=teller)
        story.play()
    report = story.verify_offline()
    if as_json:
        emit({"ok": report.verified, "url": address, **story.document(), **report.document()})
    else:
        teller.report(report)
        teller.last_line("verified offline" if report.verified else "NOT verified")
    return EXIT_OK if report.verified else EXIT_NO


@contextmanager
def _server(url: str | None, database: str | None, teller: Teller) -> Iterator[str]:
    if url is not None:
        yield url.rstrip("/")
        return
    with throw_away_server(database) as address:
        teller.say(f"A server of our own runs at {address}, with pretend money.")
        yield address


@dataclass(slots=True)
class Story:
    """The scenes, in order. What one scene learns, later ones use."""

    client: Client
    teller: Teller
    buyer: dict[str, Any] = field(default_factory=dict)
    seller: dict[str, Any] = field(default_factory=dict)
    deal: dict[str, Any] = field(default_factory=dict)
    payout: dict[str, Any] = field(default_factory=dict)
    bundle: bytes = b""
    public_key: str = ""

    def play(self) -> None:
        """All scenes that need the server."""
        for scene in (
            self._register,
            self._prove,
            self._verify,
            self._approve,
            self._settle,
            self._pay_out,
            self._books,
            self._chain,
            self._export,
        ):
            scene()

    def document(self) -> dict[str, Any]:
        """What the JSON answer tells."""
        return {"deal_id": self.deal["deal_id"], "calls": self.client.log}

    # --- scenes ----------------------------------------------------------------------------------

    def _register(self) -> None:
        self.teller.scene("Two agents register", "Each gets a key, shown once.")
        for who, name in (("buyer", "Brightside Studio"), ("seller", "Scribe")):
            body = {"name": name, "capabilities": ["marketing"]}
            answer = self.client.post("/protocol/register", body)
            setattr(self, who, answer)
            self.teller.fact(who, f"{name}, {answer['agent_id']}")
            self.teller.call_it(answer["agent_id"], who)

    def _prove(self) -> None:
        self.teller.scene(
            "The seller proves the work", "The answer is a quote, and it locks a scope."
        )
        self.deal = self.client.post(
            "/protocol/proof-pack",
            {
                "agent_username": self.seller["agent_id"],
                "vertical": "marketing",
                "sku_id": "landing_page",
                "proof_type": "landing_preview",
                "scope_summary": "Landing page, five sections",
                "proof_data": {"preview_url": "https://example.org/preview", "sections": 5},
                "price": "100.00",
            },
            key=self.seller["api_key"],
        )
        self.teller.call_it(self.deal["deal_id"], "deal")
        self.teller.facts(self.deal, "deal_id", "estimated_price", "proof_hash", "scope_lock_hash")

    def _verify(self) -> None:
        self.teller.scene("A provider judges the proof", "Its receipt can be recomputed by anyone.")
        answer = self.client.post(
            "/protocol/verify/provider",
            {
                "deal_id": self.deal["deal_id"],
                "proof_hash": self.deal["proof_hash"],
                "proof_type": "landing_preview",
                "proof_data": {"preview_url": "https://example.org/preview"},
            },
            key=self.buyer["api_key"],
        )
        self.teller.facts({**answer, **answer["verification"]}, "verified", "confidence")
        self.teller.facts(answer, "receipt_id", "receipt_hash")

    def _approve(self) -> None:
        self.teller.scene("The buyer says GO, twice", "The second answer is the first one again.")
        body = {name: self.deal[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}
        for _ in range(2):
            answer = self.client.post("/protocol/go", body, key=self.buyer["api_key"])
            self.teller.call(answer, "amount", "go_key")

    def _settle(self) -> None:
        self.teller.scene(
            "The seller settles, twice", "The money is split once: fee, and the rest."
        )
        body = {
            "deal_id": self.deal["deal_id"],
            "amount": "100.00",
            "actor_id": self.seller["agent_id"],
            "counterparty_id": self.buyer["agent_id"],
        }
        for _ in range(2):
            answer = self.client.finish("/protocol/settle", body, key=self.seller["api_key"])
            self.teller.call(answer, "gross", "protocol_fee", "platform_fee", "net")

    def _pay_out(self) -> None:
        self.teller.scene("The net is paid out, asked for twice", "The rail is asked once.")
        body = {"deal_id": self.deal["deal_id"]}
        for _ in range(2):
            answer = self.client.finish("/protocol/payouts", body, key=self.seller["api_key"])
            self.payout = answer["payout"]
            self.teller.call({**answer, **self.payout}, "payout_id", "amount", "state", "rail_ref")
        path = f"/protocol/payouts/{self.payout['payout_id']}"
        for _ in range(_POLLS):
            if self.payout["state"] in ("confirmed", "refused"):
                break
            self.client.wait()
            self.payout = self.client.get(path, key=self.seller["api_key"])["payout"]
        self.teller.facts(self.payout, "state")

    def _books(self) -> None:
        self.teller.scene("The books", "Two rows per transfer; debits equal credits.")
        path = f"/protocol/deals/{self.deal['deal_id']}/ledger"
        answer = self.client.get(path, key=self.seller["api_key"])
        columns = ("entry_type", "ref", "debit", "credit")
        self.teller.table(columns, answer["entries"])
        self.teller.facts(answer, "balanced")

    def _chain(self) -> None:
        self.teller.scene("The evidence", "Each event names the hash of the one before it.")
        answer = self.client.get(f"/protocol/deals/{self.deal['deal_id']}/timeline")
        rows = [
            {
                **event,
                "prev_hash": event["prev_hash"][:12] or "(genesis)",
                "hash": event["hash"][:12],
            }
            for event in answer["events"]
        ]
        self.teller.table(("event_type", "actor_id", "prev_hash", "hash"), rows)

    def _export(self) -> None:
        self.teller.scene("The proof is exported", "With a signed tree head over every event.")
        path = f"/protocol/proofs/{self.deal['deal_id']}/export"
        self.bundle = self.client.raw(path)
        head = self.client.get("/protocol/merkle/latest")
        self.teller.facts(head, "tree_size", "root_hash", "key_id")
        self.public_key = self.client.get("/protocol/merkle/public-key")["public_key_base64"]

    def verify_offline(self) -> BundleReport:
        """The last scene: the server is gone, the bundle and the public key are all there is."""
        self.teller.scene("Checked offline", "Only the file and the log's public key are used.")
        document = load_json(self.bundle)
        members = document if isinstance(document, dict) else {}
        return verify_bundle(members, verify_ed25519, self.public_key)
