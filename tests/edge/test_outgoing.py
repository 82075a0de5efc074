"""What the sender does on the wire: where it connects, what it says, and when it gives up."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.edge.outgoing import Answer, Failure, Sender, tls_context
from tests.support.hooks import WAIT_SECONDS, Authority, HookServer, answer, hook_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME, PUBLIC, OTHER = "hooks.example.com", "93.184.215.14", "93.184.215.15"
URL = f"https://{NAME}/in?x=1"
HEADERS = {"Content-Type": "application/json", "webhook-id": "evt_1"}
BODY = b'{"id":"evt_1"}'
MANY = [f"93.184.215.{n}" for n in range(100)]
#: Trusts no authority; also much quicker to make than one with all of the system's.
NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def sender(server: HookServer, authority: Authority | None = None, **changes: Any) -> Sender:
    settings: dict[str, Any] = {
        "resolver": server.resolver(PUBLIC),
        "connect": server.connect,
        "seconds": WAIT_SECONDS,
        "tls": authority.trusted() if authority else NOBODY,
        **changes,
    }
    return Sender(**settings)


def plain(server: HookServer, **changes: Any) -> Answer:
    """POST without TLS, as to this machine."""
    changes = {"resolver": server.resolver("127.0.0.1"), **changes}
    made = sender(server, allow_loopback_http=True, **changes)
    return made.post(f"http://{NAME}:8080/in?x=1", HEADERS, BODY)


# --- where it connects ---------------------------------------------------------------------------


def test_it_connects_to_the_checked_address_and_speaks_to_the_name(
    authority: Authority, tmp_path: Path
) -> None:
    """Broken build: it connects by name, or says the address in SNI or Host."""
    with hook_server(tls=authority.server_context(tmp_path, NAME)) as server:
        assert sender(server, authority).post(URL, HEADERS, BODY) == Answer(status=200)
    assert server.dialled == [(PUBLIC, 443)]
    assert server.names == [NAME]
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == BODY
    assert head.decode().split("\r\n") == [
        "POST /in?x=1 HTTP/1.1",
        "Content-Type: application/json",
        "webhook-id: evt_1",
        f"Host: {NAME}",
        "User-Agent: settlement-webhooks/1",
        f"Content-Length: {len(BODY)}",
        "Connection: close",
    ]


def test_a_resolver_that_changes_its_mind_is_asked_once(
    authority: Authority, tmp_path: Path
) -> None:
    """Broken build: the name is resolved for the check and again for the connection (DNS
    rebinding)."""
    asked: list[str] = []

    def rebinding(name: str, port: int) -> list[str]:
        asked.append(name)
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]

    with hook_server(tls=authority.server_context(tmp_path, NAME)) as server:
        made = sender(server, authority, resolver=rebinding)
        assert made.post(URL, HEADERS, BODY).status == 200
        assert asked == [NAME]
        assert server.dialled == [(PUBLIC, 443)]
        # The next delivery asks anew, and is refused.
        assert made.post(URL, HEADERS, BODY).failure is Failure.ADDRESS_REFUSED
        assert server.dialled == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], [PUBLIC, "10.0.0.1"], ["169.254.169.254", PUBLIC], [*MANY, "::1"]],
)
def test_one_bad_address_refuses_them_all(addresses: list[str]) -> None:
    """Broken build: the first good address is taken; only as many as are tried are checked."""
    with hook_server() as server:
        made = sender(server, resolver=server.resolver(*addresses))
        found = made.post(URL, HEADERS, BODY)
    assert found.failure is Failure.ADDRESS_REFUSED
    assert server.dialled == []


def test_when_one_address_does_not_answer_the_next_is_tried(
    authority: Authority, tmp_path: Path
) -> None:
    """Broken build: only the first address is tried; or a try that was heard is repeated."""
    with hook_server(tls=authority.server_context(tmp_path, NAME)) as server:

        def connect(address: str, port: int, seconds: float) -> socket.socket:
            if address == OTHER:
                server.dialled.append((address, port))
                raise ConnectionRefusedError
            return server.connect(address, port, seconds)

        resolver = server.resolver(OTHER, PUBLIC, OTHER)
        made = sender(server, authority, resolver=resolver, connect=connect)
        assert made.post(URL, HEADERS, BODY).status == 200
        assert server.dialled == [(OTHER, 443), (PUBLIC, 443)]
        server.dialled.clear()
        made = sender(server, authority, resolver=server.resolver(OTHER), connect=connect)
        assert made.post(URL, HEADERS, BODY).failure is Failure.CONNECT_FAILED


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("label"), None])
def test_a_name_that_leads_nowhere_is_unresolved(error: Exception | None) -> None:
    def resolver(name: str, port: int) -> list[str]:
        if error is not None:
            raise error
        return []

    with hook_server() as server:
        found = sender(server, resolver=resolver).post(URL, HEADERS, BODY)
    assert found.failure is Failure.NAME_UNRESOLVED
    assert server.dialled == []


def test_the_environments_proxies_and_key_logs_are_ignored(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: a client library that takes its proxy from the environment."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert tls_context().keylog_filename is None
    with hook_server(tls=authority.server_context(tmp_path, NAME)) as server:
        assert sender(server, authority).post(URL, HEADERS, BODY).status == 200
    assert server.dialled == [(PUBLIC, 443)]


# --- TLS -----------------------------------------------------------------------------------------


def test_the_certificate_must_be_for_the_name_and_of_a_known_authority(
    authority: Authority, tmp_path: Path
) -> None:
    """Broken build: the name is not checked, or any authority will do."""
    for tls, trusted, why in (
        (authority.server_context(tmp_path, "other.example.com"), authority, "hostname mismatch"),
        (authority.server_context(tmp_path, PUBLIC), authority, "hostname mismatch"),
        (Authority().server_context(tmp_path, NAME), authority, "unable to get local issuer"),
        (authority.server_context(tmp_path, NAME), None, "unable to get local issuer"),
    ):
        with hook_server(tls=tls) as server:
            found = sender(server, trusted).post(URL, HEADERS, BODY)
            assert found.failure is Failure.TLS_FAILED
            assert why in found.detail.lower()
            assert server.requests == []


def test_a_url_with_an_address_needs_a_certificate_for_the_address(
    authority: Authority, tmp_path: Path
) -> None:
    with hook_server(tls=authority.server_context(tmp_path, PUBLIC)) as server:
        made = sender(server, authority)
        assert made.post(f"https://{PUBLIC}:8443/", HEADERS, BODY).status == 200
        assert made.post(f"https://{OTHER}:8443/", HEADERS, BODY).failure is Failure.TLS_FAILED
    assert server.dialled == [(PUBLIC, 8443), (OTHER, 8443)]


def test_old_tls_is_not_spoken(authority: Authority, tmp_path: Path) -> None:
    context = tls_context()
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_answers_not_directions(status: int) -> None:
    """Broken build: a client that follows Location, to where nothing was checked."""
    to = "http://169.254.169.254/latest/meta-data/"
    with hook_server(answer(f"HTTP/1.1 {status} Moved\nLocation: {to}\n\n")) as server:
        assert plain(server) == Answer(status=status)
    assert len(server.requests) == len(server.dialled) == 1


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("HTTP/1.1 204 No Content\n\n", 204),
        ("HTTP/1.0 200 OK\n\nas long as it takes", 200),
        ("HTTP/1.1 100 Continue\n\nHTTP/1.1 202 Accepted\nContent-Length: 0\n\n", 202),
        ("HTTP/1.1 410 Gone\nContent-Length: 10\n\nshort", 410),
        ("HTTP/1.1 500 Oops\nTransfer-Encoding: chunked\n\nnonsense", 500),
        ("HTTP/1.1 200 OK\nSet-Cookie: a=b\nContent-Length: x\n\n", 200),
        (f"HTTP/1.1 200 OK\nX: {'a' * 70_000}\n\n", 200),
    ],
)
def test_a_status_counts_whatever_follows_it(text: str, status: int) -> None:
    """Broken build: a body that breaks off makes a success a failure, and the event twice."""
    with hook_server(answer(text)) as server:
        assert plain(server) == Answer(status=status)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense\n\n",
        "HTTP/1.1 2x0 OK\n\n",
        "HTTP/1.1 99 Low\n\n",
        "SSH-2.0-OpenSSH_9.6\n",
        "HTTP/9.9 200 OK\n\n",
        "HTTP/1.1 200 OK\n" + "X: y\n" * 200 + "\n",
        "HTTP/1.1 100 Continue\n\n" * 5000,
    ],
)
def test_what_is_no_http_answer_is_unreadable(text: str) -> None:
    """Broken build: an exception of the library's comes out."""
    with hook_server(answer(text)) as server:
        found = plain(server)
    assert (found.status, found.failure) == (None, Failure.ANSWER_UNREADABLE)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300), begun=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n"]))
def test_whatever_is_sent_back_makes_an_answer(data: bytes, begun: bytes) -> None:
    """Broken build: an exception nobody foresaw ends the worker's step."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(begun + data)
        theirs.shutdown(socket.SHUT_WR)
        made = Sender(
            allow_loopback_http=True,
            resolver=lambda name, port: ["127.0.0.1"],
            connect=lambda address, port, seconds: ours,
            tls=NOBODY,
        )
        found = made.post("http://localhost/", HEADERS, BODY)
    assert (found.status is None) != (found.failure is None)


def test_an_endless_answer_is_read_to_a_limit() -> None:
    """Broken build: the whole body is read before the status is given."""
    sent = 0
    ended = threading.Event()

    def endless(made: socket.socket, server: HookServer) -> None:
        nonlocal sent
        made.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while not server.stop.is_set():
                sent += made.send(b"x" * 65536)
        finally:
            ended.set()

    with hook_server(endless) as server:
        assert plain(server, seconds=3) == Answer(status=200)
        assert ended.wait(WAIT_SECONDS)  # we hung up on it
    assert 0 < sent < 2**25  # what the kernel's buffers hold, and no more


# --- time ----------------------------------------------------------------------------------------


def drip(prefix: bytes) -> Callable[[socket.socket, HookServer], None]:
    """Send a byte now and then for ever, each well within a socket's own time limit."""

    def send(made: socket.socket, server: HookServer) -> None:
        made.sendall(prefix)
        while not server.stop.wait(0.02):
            made.sendall(b"x")

    return send


@pytest.mark.parametrize("prefix", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_server_that_drips_is_cut_off(prefix: bytes) -> None:
    """Broken build: the time limit is the socket's, which starts anew with every byte."""
    with hook_server(drip(prefix)) as server:
        found = plain(server, seconds=0.3)
    assert (found.status, found.failure) == (None, Failure.TIMED_OUT)
    assert found.detail == "no answer in 0.3 s"


def test_a_body_that_drips_does_not_undo_the_status() -> None:
    with hook_server(drip(b"HTTP/1.1 200 OK\r\n\r\n")) as server:
        assert plain(server, seconds=0.3) == Answer(status=200)


def test_a_server_that_does_not_read_is_cut_off() -> None:
    """Broken build: writing has no deadline."""
    ours, theirs = socket.socketpair()
    with theirs:
        made = Sender(
            allow_loopback_http=True,
            seconds=0.3,
            resolver=lambda name, port: ["127.0.0.1"],
            connect=lambda address, port, seconds: ours,
            tls=NOBODY,
        )
        found = made.post("http://localhost/", HEADERS, b"x" * 50_000_000)
    assert found.failure is Failure.TIMED_OUT


def test_a_handshake_that_hangs_is_cut_off() -> None:
    """Broken build: the deadline begins after the handshake."""
    ours, theirs = socket.socketpair()
    with theirs:
        made = Sender(
            seconds=0.3,
            resolver=lambda name, port: [PUBLIC],
            connect=lambda address, port, seconds: ours,
            tls=NOBODY,
        )
        assert made.post(URL, HEADERS, BODY).failure is Failure.TIMED_OUT


def test_a_resolver_or_a_connection_that_hangs_is_cut_off() -> None:
    """Broken build: the resolver is asked in the sender's own thread."""
    over = threading.Event()
    shares: list[float] = []

    def hang(name: str, port: int) -> list[str]:
        over.wait(WAIT_SECONDS)
        return [PUBLIC]

    def lost(address: str, port: int, seconds: float) -> socket.socket:
        shares.append(seconds)
        over.wait(seconds)
        raise TimeoutError

    with hook_server() as server:
        made = sender(server, resolver=hang, seconds=0.3)
        assert made.post(URL, HEADERS, BODY).failure is Failure.TIMED_OUT
        assert made.find_refusal(URL) == Answer(
            failure=Failure.TIMED_OUT, detail="no answer in 0.3 s"
        )
        several = server.resolver(PUBLIC, OTHER, "8.8.8.8")
        made = sender(server, resolver=several, connect=lost, seconds=0.3)
        assert made.post(URL, HEADERS, BODY).failure is Failure.TIMED_OUT
        assert server.dialled == []
    assert len(shares) == 3
    assert shares[0] <= 0.1
    over.set()


def test_no_socket_is_left_open(authority: Authority, tmp_path: Path) -> None:
    """Broken build: a refused handshake or a broken answer leaves its socket behind."""
    files = "/proc/self/fd"
    if not os.path.isdir(files):
        pytest.skip("this system does not list a process's open files")
    before = len(os.listdir(files))
    for does in (answer("nonsense\n\n"), answer("HTTP/1.1 200 OK\n\n")):
        with hook_server(does) as server:
            for _ in range(5):
                plain(server)
    wrong = authority.server_context(tmp_path, "other.example.com")
    with hook_server(tls=wrong) as server:
        for _ in range(5):
            sender(server, authority).post(URL, HEADERS, BODY)
    assert len(os.listdir(files)) <= before
