"""A webhook receiver on loopback that checks what it gets, as a customer would write it.

Guarantees: signatures are recomputed here from the documents, not by our own code; every message is
kept with the status it was answered with.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT_SECONDS = 30


@dataclass(frozen=True)
class Received:
    """One message as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def members(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def signed_by(self, secret: str) -> bool:
        """Both forms are right under this secret."""
        key = secret.encode()
        if secret.startswith("whsec_"):
            key = base64.b64decode(secret[6:])
        ours = "sha256=" + hmac.new(key, self.body, hashlib.sha256).hexdigest()
        return self.headers["x-aigentsy-signature"] == ours and self.standard_by(secret)

    def standard_by(self, secret: str) -> bool:
        """One of the Standard Webhooks signatures is right under this secret."""
        key = secret.encode()
        if secret.startswith("whsec_"):
            key = base64.b64decode(secret[6:])
        head = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode()
        digest = hmac.new(key, head + self.body, hashlib.sha256).digest()
        wanted = "v1," + base64.b64encode(digest).decode()
        return wanted in self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """What came, and how the next is answered."""

    url: str = ""
    answers: Callable[[Received], int] = lambda _message: 200
    received: list[Received] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def ids(self) -> list[str]:
        return [message.members["id"] for message in self.received]

    def names(self) -> list[str]:
        return [message.members["type"] for message in self.received]

    def wait_for(self, name: str, count: int = 1) -> list[Received]:
        """The messages of a name, once there are so many."""

        def found() -> list[Received]:
            return [one for one in self.received if one.members["type"] == name]

        with self.news:
            assert self.news.wait_for(lambda: len(found()) >= count, WAIT_SECONDS), self.names()
            return found()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver for the length of a `with` block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            message = Received(headers, body)
            with receiver.news:
                receiver.received.append(message)
                receiver.news.notify_all()
            self.send_response(receiver.answers(message))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(WAIT_SECONDS)
