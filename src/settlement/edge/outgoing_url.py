"""Which URLs and addresses may be sent to. Pure: no name is resolved here.

For: `outgoing.py`.
Guarantees: a URL is read in one way only, and what other readers might take for something else
(user parts, backslashes, numbers as hosts, characters beyond ASCII, blanks) is refused; an address
is public only if no list of special ones has it.
Does not: make an address that an operator gave to inner machines, though it looks public, safe to
reach; that is for the network's own rules.

Spec §10.2. Change colour: red.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

PORTS: Final = frozenset({443, 8443})
_URL_MAX: Final = 2048
_NAME_MAX: Final = 253
_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[!$&-;=?-Z_a-z~%\[\]]*|\?[!$&-;=?-Z_a-z~%\[\]]*)?",
    re.ASCII,
)
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", re.ASCII)
#: What some readers of hosts take for an IPv4 address: a last label that is a number.
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)

_V4_REFUSED: Final = {
    "this network": "0.0.0.0/8",
    "a private network": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
    "carrier-grade NAT": "100.64.0.0/10",
    "loopback": "127.0.0.0/8",
    "link-local": "169.254.0.0/16",
    "protocol assignments": "192.0.0.0/24 192.31.196.0/24 192.52.193.0/24 192.175.48.0/24",
    "documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24",
    "6to4": "192.88.99.0/24",
    "benchmarking": "198.18.0.0/15",
    "multicast": "224.0.0.0/4",
    "reserved": "240.0.0.0/4",
    # Public by number, yet every machine of that cloud reaches its host's own services there.
    "a cloud's host services": "168.63.129.16/32",
}
#: Within 2000::/3; outside it nothing is public, so mapped, NAT64, local and multicast are refused.
_V6_REFUSED: Final = {
    "protocol assignments": "2001::/23 2620:4f:8000::/48",  # Teredo and ORCHID among them
    "documentation": "2001:db8::/32 3fff::/20",
    "6to4": "2002::/16",
}
_V6_PUBLIC: Final = ipaddress.IPv6Network("2000::/3")
_V6_KNOWN: Final = {
    "loopback": "::1/128",
    "an IPv4 address in IPv6 form": "::/96 ::ffff:0:0/96 ::ffff:0:0:0/96",
    "NAT64": "64:ff9b::/96 64:ff9b:1::/48",
    "unique-local": "fc00::/7",
    "link-local": "fe80::/10",
    "multicast": "ff00::/8",
}
_V4_NETWORKS: Final = [
    (what, ipaddress.IPv4Network(net)) for what, nets in _V4_REFUSED.items() for net in nets.split()
]
_V6_NETWORKS: Final = [
    (what, ipaddress.IPv6Network(net))
    for what, nets in [*_V6_REFUSED.items(), *_V6_KNOWN.items()]
    for net in nets.split()
]


class UrlRefused(Exception):
    """The URL's form is not allowed; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL taken apart: where to connect, and what to say there."""

    host: str  # a lower-case name, or an address without brackets
    port: int
    path: str
    tls: bool
    is_address: bool

    @property
    def loopback(self) -> bool:
        """Plain HTTP goes to this machine and nowhere else."""
        return not self.tls

    @property
    def authority(self) -> str:
        """The `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def parse_url(url: str, *, allow_loopback_http: bool = False) -> Target:
    """Take a URL apart; raises UrlRefused."""
    if len(url) > _URL_MAX:
        raise UrlRefused("it is too long")
    found = _URL.fullmatch(url)
    if found is None:
        raise UrlRefused("it is not of the form https://host[:port]/path")
    tls = found["scheme"] == "https"
    if not tls and not allow_loopback_http:
        raise UrlRefused("it is not https")
    port = int(found["port"] or (443 if tls else 80))
    if tls and port not in PORTS:
        raise UrlRefused("its port is neither 443 nor 8443")
    if not 0 < port < 2**16:
        raise UrlRefused("its port does not exist")
    host, is_address = _host(found["host"])
    path = found["path"] or "/"
    path = path if path.startswith("/") else f"/{path}"
    return Target(host=host, port=port, path=path, tls=tls, is_address=is_address)


def _host(text: str) -> tuple[str, bool]:
    if text.startswith("["):
        try:
            return str(ipaddress.IPv6Address(text[1:-1])), True
        except ValueError:
            raise UrlRefused("its host is not an IPv6 address") from None
    labels = text.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(text)), True
        except ValueError:
            raise UrlRefused("its host is a number, but not an IPv4 address") from None
    if len(text) > _NAME_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlRefused("its host is not a name")
    return text.lower(), False


def address_problem(text: str, *, loopback: bool = False) -> str | None:
    """What kind of address this is that must not be sent to; None if it may be.

    With `loopback`, this machine's own addresses and no others.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "something that is no address"
    kind = _kind(address)
    if loopback:
        return None if kind == "loopback" else "an address that is not this machine's"
    return kind


def _kind(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    """Which special kind of address it is; None if it is public."""
    if isinstance(address, ipaddress.IPv4Address):
        for what, v4 in _V4_NETWORKS:
            if address in v4:
                return what
    else:
        if address.scope_id is not None:
            return "link-local"
        for what, v6 in _V6_NETWORKS:
            if address in v6:
                return what
        if address not in _V6_PUBLIC:
            return "reserved"
    # Our lists are the rule; the interpreter's, which change with it, may only add to them.
    return None if address.is_global else "reserved"
