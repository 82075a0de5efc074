"""A Stripe of our own: a process that speaks its API over HTTP and keeps its own book.

As a program: prints its port and serves until its standard input ends. `tests/support/stripe.py`
starts it and tells it what to do, by `/_control/...`.

Guarantees, each as Stripe documents it: a key repeats the first answer, a 500 too, for a day by
this process's own clock; the same key with other parameters does nothing; what fails before it
begins is not kept under the key; lists are current, search lags.
What it is programmed to do wrong happens to the next matching requests.
Does not: know more of the API than this house uses.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

SECRET_KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
KEPT_SECONDS = 86_400
Answer = tuple[int, dict[str, Any]]
Params = dict[str, Any]


class Refusal(Exception):
    """An error answer. `kept`: saved under the idempotency key."""

    def __init__(self, status: int, kind: str, code: str = "", *, kept: bool = True) -> None:
        super().__init__(code)
        # As Stripe's does, the text repeats what it was given; a log must not repeat the text.
        said = {"type": kind, "message": f"{code} (key {SECRET_KEY})"}
        self.answer = status, {"error": said | ({"code": code} if code else {})}
        self.kept = kept


@dataclass
class Book:
    """What this Stripe knows."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    program: list[dict[str, Any]] = field(default_factory=list)
    accounts: set[str] = field(default_factory=lambda: {"acct_seller", "acct_helper"})
    balance: int = 100_000_000
    search_lag: int = 0
    advanced: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    ending: threading.Event = field(default_factory=threading.Event)

    def now(self) -> int:
        """This Stripe's clock."""
        return int(time.time()) + self.advanced

    def made(self, kind: str, prefix: str, members: Params) -> dict[str, Any]:
        """A new object."""
        count = sum(one["object"] == kind for one in self.objects.values()) + 1
        name = f"{prefix}_{count}{'x' * 16}"
        self.objects[name] = {"id": name, "object": kind, "created": self.now(), **members}
        return self.objects[name]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Objects of a kind, the newest first."""
        return [one for one in self.objects.values() if one["object"] == kind][::-1]

    def tell(self, kind: str, about: dict[str, Any]) -> None:
        """An event, to be delivered when somebody says so."""
        said = {"object": "event", "type": kind, "created": self.now(), "livemode": False}
        event = {"id": f"evt_{len(self.events) + 1}{'x' * 16}", **said}
        self.events.append(json.loads(json.dumps(event | {"data": {"object": about}})))

    # --- what can be asked of it -----------------------------------------------------------------

    def create_transfer(self, params: Params) -> dict[str, Any]:
        """POST /v1/transfers."""
        amount = _amount(params)
        if params.get("destination") not in self.accounts:
            raise Refusal(400, "invalid_request_error", "resource_missing", kept=False)
        if amount > self.balance:
            raise Refusal(400, "invalid_request_error", "balance_insufficient")
        self.balance -= amount
        members = {"amount": amount, "amount_reversed": 0, "reversed": False, "metadata": {}}
        made = self.made("transfer", "tr", {"transfer_group": None, **params, **members})
        made["metadata"] = params.get("metadata", {})
        self.tell("transfer.created", made)
        return made

    def create_payment(self, params: Params) -> dict[str, Any]:
        """POST /v1/payment_intents."""
        members: Params = {"amount": _amount(params), "amount_received": 0, "latest_charge": None}
        members["status"] = "requires_payment_method"
        made = self.made("payment_intent", "pi", {"metadata": {}, **params, **members})
        made["client_secret"] = f"{made['id']}_secret_{'s' * 16}"
        return made

    def create_refund(self, params: Params) -> dict[str, Any]:
        """POST /v1/refunds."""
        payment = self.objects.get(params.get("payment_intent", ""))
        if payment is None or payment["status"] != "succeeded":
            raise Refusal(400, "invalid_request_error", "resource_missing", kept=False)
        charge = self.objects[payment["latest_charge"]]
        amount = _amount(params)
        if charge["amount_refunded"] + amount > charge["amount"]:
            raise Refusal(400, "invalid_request_error", "charge_already_refunded")
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        about = {"charge": charge["id"], "currency": charge["currency"], "status": "succeeded"}
        made = self.made("refund", "re", {"metadata": {}, **params, **about, "amount": amount})
        self.tell("refund.created", made)
        self.tell("charge.refunded", charge)
        return made

    def listed(self, kind: str, query: Params, *names: str) -> dict[str, Any]:
        """A list, filtered by equality."""
        wanted = {name: query[name] for name in names if name in query}
        found = [one for one in self.of(kind) if wanted.items() <= one.items()]
        limit = int(query.get("limit", 10))
        return _list(found[:limit], more=len(found) > limit)

    def searched(self, query: Params) -> dict[str, Any]:
        """GET /v1/payment_intents/search, by one member of the metadata; it lags."""
        name, _, value = query["query"].partition("]:")
        name, value = name.removeprefix("metadata[").strip("'"), value.strip("'")
        seen = self.now() - self.search_lag
        found = [
            one
            for one in self.of("payment_intent")
            if one["metadata"].get(name) == value and one["created"] <= seen
        ]
        return _list(found) | {"object": "search_result"}

    # --- what a test makes happen ----------------------------------------------------------------

    def control(self, verb: str, told: Params) -> dict[str, Any]:
        """Program it, move its clock, let a buyer pay, send webhooks, look into its book."""
        match verb:
            case "program":
                self.program = [{"first": 10**9, "match": "", **one} for one in told["rules"]]
            case "set":
                for name, value in told.items():
                    setattr(self, name, value)
            case "advance":
                self.advanced += told["seconds"]
                now = self.now()
                self.keys = {k: v for k, v in self.keys.items() if now - v["at"] < KEPT_SECONDS}
            case "pay":
                self.pay(self.objects[told["payment"]], told.get("amount"))
            case "reverse":
                self.reverse(self.objects[told["transfer"]], told["amount"])
            case "tell":
                self.tell(told["type"], self.objects.get(told.get("id", "")) or told["object"])
            case "book":
                names = ("objects", "events", "requests", "balance")
                return {name: getattr(self, name) for name in names} | {"keys": list(self.keys)}
            case _:
                raise KeyError(verb)
        return {}

    def pay(self, payment: dict[str, Any], amount: int | None) -> None:
        """The buyer's card was charged."""
        paid = amount or payment["amount"]
        shared = {name: payment[name] for name in ("currency", "metadata")}
        members = {"amount": paid, "amount_refunded": 0, "refunded": False}
        charge = self.made("charge", "ch", {**shared, **members, "payment_intent": payment["id"]})
        payment.update(status="succeeded", amount_received=paid, latest_charge=charge["id"])
        self.balance += paid
        self.tell("payment_intent.succeeded", payment)

    def reverse(self, transfer: dict[str, Any], amount: int) -> None:
        """A transfer, or a part of it, came back."""
        transfer["amount_reversed"] += amount
        transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
        self.balance += amount
        self.tell("transfer.reversed", transfer)


def _amount(params: Params) -> int:
    amount = params.get("amount", "")
    if not str(amount).isdecimal() or int(amount) == 0:
        raise Refusal(400, "invalid_request_error", "parameter_invalid_integer", kept=False)
    return int(amount)


def _list(found: list[dict[str, Any]], *, more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": found, "has_more": more, "url": "/v1"}


def _params(text: str) -> Params:
    """Form members; `metadata[deal]` becomes a member of `metadata`."""
    found: Params = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        outer, _, inner = name.partition("[")
        if inner:
            found.setdefault(outer, {})[inner.rstrip("]")] = value
        else:
            found[outer] = value
    return found


class Handler(BaseHTTPRequestHandler):
    """One request, as Stripe would take it."""

    protocol_version = "HTTP/1.1"
    book: Book

    def do_GET(self) -> None:
        """Read."""
        self._serve("")

    def do_POST(self) -> None:
        """Write, or be told what to do."""
        raw = self.rfile.read(int(self.headers["content-length"] or 0)).decode()
        path = urlsplit(self.path).path
        if path == "/_control/deliver":
            self._say(200, deliver(self.book, json.loads(raw)))
        elif path.startswith("/_control/"):
            with self.book.lock:
                self._say(200, self.book.control(path.rpartition("/")[2], json.loads(raw or "{}")))
        else:
            self._serve(raw)

    def _serve(self, raw: str) -> None:
        parts = urlsplit(self.path)
        name = f"{self.command} {parts.path}"
        with self.book.lock:
            self.book.requests.append(name)
            does = self._behaviour(name)
        if does in ("drop_before", "hang_before"):
            self._vanish(does)
            return
        status, answer = self._answered(name, parts.query, raw, does)
        if does in ("drop_after", "hang_after"):
            self._vanish(does)
        elif does == "garbage":
            self._write(200, b"<html>the proxy is tired</html>")
        else:
            self._say(status, answer)

    def _behaviour(self, name: str) -> str:
        for rule in self.book.program:
            if rule["match"] in name and rule["first"] > 0:
                rule["first"] -= 1
                return str(rule["does"])
        return "ok"

    def _answered(self, name: str, query: str, raw: str, does: str) -> Answer:
        """The answer, under its key if it has one."""
        key = self.headers["idempotency-key"] if self.command == "POST" else None
        digest = hashlib.sha256(f"{name}\n{raw}".encode()).hexdigest()
        book = self.book
        try:
            with book.lock:
                self._admit(does)
                known = book.keys.get(key or "")
                if known is not None:
                    if known["digest"] != digest:
                        raise Refusal(400, "idempotency_error", kept=False)
                    return int(known["status"]), known["answer"]
                kept = True
                try:
                    found = 200, json.loads(json.dumps(self._done(name, query, raw, does)))
                except Refusal as refusal:
                    found, kept = refusal.answer, refusal.kept
                if key and kept:
                    said = {"digest": digest, "status": found[0], "answer": found[1]}
                    book.keys[key] = said | {"at": book.now()}
                return found
        except Refusal as refusal:
            return refusal.answer

    def _admit(self, does: str) -> None:
        """What is refused before anything begins, and so is not kept."""
        if self.headers["authorization"] != f"Bearer {SECRET_KEY}" or does == "unauthorized":
            raise Refusal(401, "invalid_request_error", "", kept=False)
        if does == "busy":
            raise Refusal(429, "rate_limit_error", "rate_limit", kept=False)
        if does == "in_use":
            raise Refusal(409, "idempotency_error", "idempotency_key_in_use", kept=False)

    def _done(self, name: str, query: str, raw: str, does: str) -> dict[str, Any]:
        if does == "error_before":
            raise Refusal(500, "api_error")
        if does == "decline":
            raise Refusal(402, "card_error", "card_declined")
        found = self._routed(name, _params(query), _params(raw))
        if does == "error_after":
            raise Refusal(500, "api_error")
        return found

    def _routed(self, name: str, query: Params, params: Params) -> dict[str, Any]:
        book = self.book
        writes = {
            "POST /v1/transfers": book.create_transfer,
            "POST /v1/payment_intents": book.create_payment,
            "POST /v1/refunds": book.create_refund,
        }
        if name in writes:
            return writes[name](params)
        if name == "GET /v1/transfers":
            return book.listed("transfer", query, "transfer_group")
        if name == "GET /v1/refunds":
            return book.listed("refund", query, "payment_intent", "charge")
        if name == "GET /v1/payment_intents/search":
            return book.searched(query)
        if name == "GET /v1/balance":
            return {"object": "balance", "available": [{"amount": book.balance}]}
        found = book.objects.get(name.rpartition("/")[2])
        if found is None:
            raise Refusal(404, "invalid_request_error", "resource_missing", kept=False)
        return found

    def _vanish(self, does: str) -> None:
        """Say nothing: at once, or after having let the caller wait."""
        if does.startswith("hang"):
            self.book.ending.wait(60)
        self.close_connection = True
        self.connection.close()

    def _say(self, status: int, members: dict[str, Any]) -> None:
        self._write(status, json.dumps(members).encode())

    def _write(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def signature(secrets: list[str], timestamp: int, body: bytes) -> str:
    """A `Stripe-Signature` header, one v1 per secret."""
    text = f"{timestamp}.".encode() + body
    made = [hmac.new(one.encode(), text, hashlib.sha256).hexdigest() for one in secrets]
    return ",".join([f"t={timestamp}", *(f"v1={one}" for one in made)])


def deliver(book: Book, told: Params) -> dict[str, Any]:
    """Send events, in the order named and as often as told; what was answered."""
    opener = build_opener(ProxyHandler({}))
    with book.lock:
        known = {event["id"]: event for event in book.events}
    answers = []
    for event_id in told["ids"]:
        body = json.dumps(known[event_id]).encode()
        headers = {"content-type": "application/json"}
        headers["stripe-signature"] = signature([told["secret"]], int(time.time()), body)
        with opener.open(Request(told["url"], data=body, headers=headers), timeout=30) as answer:
            answers.append(json.loads(answer.read()))
    return {"answers": answers}


class Server(ThreadingHTTPServer):
    """Says nothing about callers that went away: here they are told to."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until standard input ends, which it does when whoever started this is gone."""
    book = Book()
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"book": book}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()
    book.ending.set()
    server.shutdown()


if __name__ == "__main__":
    main()
