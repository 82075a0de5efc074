"""Sends to addresses that strangers chose: one POST, to the public internet and nowhere else.

For: webhook deliveries, and the check of a hook's URL when it is made.
Guarantees: HTTPS on the ports allowed, no user part; the name is resolved once, all its addresses
must be public, and the connection goes to one that was checked, while TLS and `Host` use the name.
No redirect, no proxy, no cookie, nothing from the environment; one deadline over everything; an
answer of any size costs a bounded read. What went wrong has a name.
Does not: decide whether to try again (`core/webhooks.py`), or show anybody what was answered.

Built on `http.client` over a socket opened here. The client libraries resolve the name again when
they connect, which undoes the check, and bring pools, proxies and redirects to be switched off.

Spec §10.2. Change colour: red.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import queue
import socket
import ssl
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from settlement.core.webhooks import TRY_SECONDS
from settlement.edge.outgoing_url import Target, UrlRefused, address_problem, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Name and port -> addresses as text.
Resolver: TypeAlias = "Callable[[str, int], Sequence[str]]"
#: Address, port, seconds -> a connected socket.
Connect: TypeAlias = "Callable[[str, int, float], socket.socket]"

_READ_MAX: Final = 64 * 1024
_ADDRESSES_MAX: Final = 16
_USER_AGENT: Final = "settlement-webhooks/1"


class Failure(StrEnum):
    """Why there was no answer."""

    URL_REFUSED = "url_refused"
    NAME_UNRESOLVED = "name_unresolved"
    ADDRESS_REFUSED = "address_refused"
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    TIMED_OUT = "timed_out"
    ANSWER_UNREADABLE = "answer_unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status, or the reason why there is none; `detail` is fit for the hook's owner."""

    status: int | None = None
    failure: Failure | None = None
    detail: str = ""


class OutgoingFailed(Exception):
    """The send ended without an answer."""

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(f"{failure}: {detail}")
        self.failure = failure
        self.detail = detail


def resolve(name: str, port: int) -> Sequence[str]:
    """Ask the system's resolver."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in found]


def connect_to(address: str, port: int, seconds: float) -> socket.socket:
    """Connect to an address; never to a name."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.settimeout(seconds)
        made.connect((address, port))
    except BaseException:
        made.close()
        raise
    return made


def tls_context() -> ssl.SSLContext:
    """The system's certificate authorities, names checked, TLS 1.2 or newer; HTTP/1.1 offered."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.keylog_filename = None  # type: ignore[assignment]  # undoes SSLKEYLOGFILE
    return context


class Sender:
    """Sends; safe to share between threads. What it uses of the world is handed in."""

    def __init__(
        self,
        *,
        allow_loopback_http: bool = False,
        seconds: float = TRY_SECONDS,
        resolver: Resolver = resolve,
        connect: Connect = connect_to,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_loopback_http = allow_loopback_http
        self._seconds = seconds
        self._resolver = resolver
        self._connect = connect
        self._tls = tls or tls_context()

    def find_refusal(self, url: str) -> Answer | None:
        """Why a hook may not have this URL, by its form and by where its name leads now."""
        found = self._answer(lambda until: self._addresses(self._parse(url), until))
        return found if found.failure is not None else None

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST once; the status, or what went wrong. Nothing the other side does is raised."""

        def send(until: float) -> int:
            target = self._parse(url)
            addresses = self._addresses(target, until)
            with closing(self._open(target, addresses, until)) as made:
                return _exchange(_Stream(made, until), target, headers, body)

        return self._answer(send)

    def _answer(self, send: Callable[[float], object]) -> Answer:
        try:
            status = send(time.monotonic() + self._seconds)
        except OutgoingFailed as error:
            return Answer(failure=error.failure, detail=error.detail)
        except TimeoutError:
            return Answer(failure=Failure.TIMED_OUT, detail=f"no answer in {self._seconds} s")
        return Answer(status=status if isinstance(status, int) else None)

    def _parse(self, url: str) -> Target:
        try:
            return parse_url(url, allow_loopback_http=self._allow_loopback_http)
        except UrlRefused as error:
            raise OutgoingFailed(Failure.URL_REFUSED, str(error)) from error

    def _addresses(self, target: Target, until: float) -> list[str]:
        """Resolve once and check all: one bad address refuses the name, whatever their order."""
        if target.is_address:
            found = [target.host]
        else:
            found = list(dict.fromkeys(self._resolved(target, until)))
        if not found:
            raise OutgoingFailed(Failure.NAME_UNRESOLVED, "the name has no address")
        for address in found:
            problem = address_problem(address, loopback=target.loopback)
            if problem is not None:
                raise OutgoingFailed(Failure.ADDRESS_REFUSED, f"the name leads to {problem}")
        # The same text that was checked, in the one form that the check understood.
        return [str(ipaddress.ip_address(address)) for address in found[:_ADDRESSES_MAX]]

    def _resolved(self, target: Target, until: float) -> Sequence[str]:
        # The system's resolver cannot be given a time limit; a thread left waiting for it ends
        # when it does.
        answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._resolver(target.host, target.port))
            except (OSError, UnicodeError) as error:
                answers.put(error)

        threading.Thread(target=ask, name="resolve", daemon=True).start()
        try:
            found = answers.get(timeout=_left(until))
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(found, Exception):
            raise OutgoingFailed(Failure.NAME_UNRESOLVED, "the name was not found") from found
        return found

    def _open(self, target: Target, addresses: Sequence[str], until: float) -> socket.socket:
        made = self._connected(target, addresses, until)
        try:
            if target.tls:
                made.settimeout(_left(until))
                # The name goes into SNI and is what the certificate must be for.
                made = self._tls.wrap_socket(made, server_hostname=target.host)
        except TimeoutError:
            made.close()
            raise
        except (ssl.CertificateError, OSError) as error:
            made.close()
            why = getattr(error, "verify_message", "") or "the handshake failed"
            raise OutgoingFailed(Failure.TLS_FAILED, why) from error
        return made

    def _connected(self, target: Target, addresses: Sequence[str], until: float) -> socket.socket:
        """The first address that answers, each with its share of the time left."""
        for tried, address in enumerate(addresses):
            share = _left(until) / (len(addresses) - tried)
            with suppress(OSError):
                return self._connect(address, target.port, share)
        _left(until)
        raise OutgoingFailed(Failure.CONNECT_FAILED, "no connection")


def _left(until: float) -> float:
    """Seconds left; raises TimeoutError when there are none."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Reader(io.RawIOBase):
    """What the other side sends, up to the limit and the deadline."""

    def __init__(self, made: socket.socket, until: float) -> None:
        super().__init__()
        self._socket = made
        self._until = until
        self._budget = _READ_MAX

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self._budget <= 0:
            return 0  # the end, as far as we care
        self._socket.settimeout(_left(self._until))
        count = self._socket.recv_into(buffer, min(len(buffer), self._budget))
        self._budget -= count
        return count


class _Stream:
    """A socket as http.client wants it, with one deadline over all its reads and writes.

    A socket's own time limit starts anew with every byte, so a slow server could hold on for ever.
    """

    def __init__(self, made: socket.socket, until: float) -> None:
        self._socket = made
        self._until = until

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(_Reader(self._socket, self._until))

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(_left(self._until))
            rest = rest[self._socket.send(rest) :]

    def close(self) -> None:
        """Whoever opened the socket closes it; the answer's body may still be wanted."""


def _exchange(stream: _Stream, target: Target, headers: Mapping[str, str], body: bytes) -> int:
    """One request, one status; the answer's body is read to a limit and thrown away."""
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.auto_open = 0  # should it lose our socket, it must not open one of its own
    connection.sock = stream  # all it uses: sendall, makefile, close
    try:
        connection.putrequest("POST", target.path, skip_host=True, skip_accept_encoding=True)
        for name, value in {**headers, **_own_headers(target, body)}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise OutgoingFailed(Failure.ANSWER_UNREADABLE, "no HTTP answer came") from error
    with suppress(OSError, http.client.HTTPException):  # the status is known; the rest is courtesy
        response.read(_READ_MAX)
    return response.status


def _own_headers(target: Target, body: bytes) -> dict[str, str]:
    return {
        "Host": target.authority,
        "User-Agent": _USER_AGENT,
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
