"""Hostile webhooks by the dozen, and not one connection that should not be: seen at the socket.

What the sender believes is not asked here. The interpreter reports each connection that this
process opens, whoever opens it, and the list is compared with what may be reached.
"""

from __future__ import annotations

import socket
import ssl
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from settlement.edge.outgoing import Failure, Sender, connect_to
from tests.edge.test_outgoing_url import HOSTILE_ADDRESSES, HOSTILE_FORMS

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLIC = "93.184.215.14"
NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
HEADERS = {"webhook-id": "evt_1"}
#: Names that lead to an address each, and URLs with the address itself.
NAMES = {f"a{n}.example.com": address for n, address in enumerate(HOSTILE_ADDRESSES)}
URLS = [
    *HOSTILE_FORMS,
    *(f"https://{name}/in" for name in NAMES),
    *(f"https://[{a}]/" if ":" in a else f"https://{a}/" for a in HOSTILE_ADDRESSES),
]

_watched: list[list[tuple[Any, ...]]] = []


def _report(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watched:
        _watched[-1].append(arguments[1])


# A hook of the interpreter cannot be taken away; it only notes while somebody watches.
sys.addaudithook(_report)


@contextmanager
def connections() -> Iterator[list[tuple[Any, ...]]]:
    """What this process connects to, as the interpreter sees it."""
    _watched.append([])
    try:
        yield _watched[-1]
    finally:
        _watched.pop()


def lookup(name: str, _port: int) -> list[str]:
    return [NAMES[name]]


def test_the_watch_sees_a_connection() -> None:
    """Broken build of this test: it watches nothing, and everything passes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with connections() as seen:
            socket.create_connection(address).close()
    assert seen == [address]


def test_no_hostile_url_opens_a_connection() -> None:
    """Broken build: a form that the parser forgives, an address that no list names; or the check
    comes after the connection."""
    assert len(URLS) >= 60
    sender = Sender(tls=NOBODY, resolver=lookup, seconds=2)
    with connections() as seen:
        for url in URLS:
            assert sender.find_refusal(url) is not None, url
            answer = sender.post(url, HEADERS, b"{}")
            assert answer.failure in (Failure.URL_REFUSED, Failure.ADDRESS_REFUSED), url
    assert seen == []


def test_a_resolver_that_flips_never_leads_to_this_network() -> None:
    """Broken build: the name is looked up for the check and again for the connection."""
    asked = 0

    def flips(_name: str, _port: int) -> list[str]:
        nonlocal asked
        asked += 1
        return [PUBLIC] if asked % 2 else ["169.254.169.254"]

    reached: list[str] = []

    def connect(address: str, port: int, seconds: float) -> socket.socket:
        """Nobody is called up for a test; any other address would be, and be seen."""
        if address != PUBLIC:
            return connect_to(address, port, seconds)
        reached.append(address)
        raise ConnectionRefusedError

    sender = Sender(tls=NOBODY, resolver=flips, connect=connect, seconds=2)
    with connections() as seen:
        for _ in range(10):
            assert sender.find_refusal("https://hooks.example.com/") is None
            refused = sender.post("https://hooks.example.com/", HEADERS, b"{}")
            assert refused.failure is Failure.ADDRESS_REFUSED
            sender.post("https://hooks.example.com/", HEADERS, b"{}")  # asked: the public one
            assert sender.find_refusal("https://hooks.example.com/") is not None
    assert reached == [PUBLIC] * 10
    assert seen == []
