"""A web server that misbehaves as told, with certificates of its own authority.

The server is real: a listening socket on loopback and, if asked, TLS. A test hands the sender a
`connect` that notes the address it was told to reach and connects to this server instead.
"""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WAIT_SECONDS = 30


class Authority:
    """A certificate authority that lives as long as the test run."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        public = self._key.public_key()
        self._certificate = (
            self._builder(self._name, public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_USES, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def trusted(self) -> ssl.SSLContext:
        """A client's context that trusts this authority and no other."""
        return ssl.create_default_context(cadata=self.pem)

    def server_context(self, directory: Path, *names: str) -> ssl.SSLContext:
        """A server's context with a certificate for these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(x509.Name([]), key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=True
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        path = directory / f"{'-'.join(names).replace(':', '_')}.pem"
        encoding = serialization.Encoding.PEM
        path.write_bytes(
            key.private_bytes(
                encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(encoding)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _builder(
        self, subject: x509.Name, public: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
        )


_USES = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass
class HookServer:
    """What the server saw, and where it listens."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)  # by SNI
    stop: threading.Event = field(default_factory=threading.Event)
    dialled: list[tuple[str, int]] = field(default_factory=list)

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        """The sender's way out: notes where it would have gone, and comes here."""
        self.dialled.append((address, port))
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def resolver(self, *addresses: str) -> Callable[[str, int], list[str]]:
        """A resolver that always gives these."""
        return lambda name, port: list(addresses)


def answer(text: str) -> Callable[[socket.socket, HookServer], None]:
    """Send these lines and close."""

    def send(made: socket.socket, server: HookServer) -> None:
        made.sendall(text.replace("\n", "\r\n").encode("latin-1"))

    return send


OK = answer("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")


@contextmanager
def hook_server(
    does: Callable[[socket.socket, HookServer], None] = OK, tls: ssl.SSLContext | None = None
) -> Iterator[HookServer]:
    """Serve connections one after another until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = HookServer(port=listener.getsockname()[1])
    if tls is not None:
        tls.sni_callback = lambda made, name, context: server.names.append(name)
    thread = threading.Thread(target=_serve, args=(listener, server, does, tls), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(WAIT_SECONDS)


def _serve(
    listener: socket.socket,
    server: HookServer,
    does: Callable[[socket.socket, HookServer], None],
    tls: ssl.SSLContext | None,
) -> None:
    while not server.stop.is_set():
        try:
            made, _ = listener.accept()
        except OSError:
            return
        made.settimeout(WAIT_SECONDS)
        with suppress(OSError):  # the sender may go at any time
            if tls is not None:
                made = tls.wrap_socket(made, server_side=True)
            server.requests.append(_read_request(made))
            does(made, server)
        made.close()


def _read_request(made: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = made.recv(4096)
        if not part:
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )
    while len(body) < length:
        body += made.recv(4096)
    return head + b"\r\n\r\n" + body
