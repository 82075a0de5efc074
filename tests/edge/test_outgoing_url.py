"""URLs and addresses that must not be sent to, by the dozen, and the few forms that may be."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.edge.outgoing import Failure, Sender
from settlement.edge.outgoing_url import Target, UrlRefused, address_problem, parse_url

if TYPE_CHECKING:
    import ipaddress

#: Trusts no authority; made once, since making one of the system's takes longer than a test.
NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

#: Refused by form alone; nothing is resolved.
HOSTILE_FORMS = [
    "",
    "https://",
    "https:///path",
    "//example.com/",
    "example.com",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com:443/_x",
    "javascript:alert(1)",
    "http://example.com/",
    "HTTPS://example.com/",
    "https:example.com",
    "https:/example.com",
    "https://example.com:80/",
    "https://example.com:22/",
    "https://example.com:6379/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example.com:443443/",
    "https://example.com:/",
    "https://example.com:-443/",
    "https://example.com:\uff14\uff14\uff13/",
    "https://user@example.com/",
    "https://user:pass@example.com/",
    "https://example.com@10.0.0.1/",
    "https://example.com%40@10.0.0.1/",
    "https://10.0.0.1#@example.com/",
    "https://example.com#fragment",
    "https://example.com\\@10.0.0.1/",
    "https:\\\\example.com/",
    "https://exam ple.com/",
    "https://example.com/a b",
    "https://example.com/\r\nX-Injected: 1",
    "https://example.com/\n",
    "https://example.com\t/",
    " https://example.com/",
    "https://example.com/\x00",
    "https://exämple.com/",
    "https://\uff45xample.com/",
    "https://example。com/",
    "https://①②⑦.⓪.⓪.①/",
    "https://example.com./",
    "https://.example.com/",
    "https://exa..mple.com/",
    "https://-example.com/",
    f"https://{'a' * 64}.com/",
    f"https://{'a.' * 130}com/",
    f"https://example.com/{'a' * 2048}",
    "https://%31%30.0.0.1/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://0177.0.0.1/",
    "https://010.0.0.1/",
    "https://1.2.3.4.5/",
    "https://1.2.3.256/",
    "https://example.1/",
    "https://example.0x/",
    "https://[::1/",
    "https://::1/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[v1.x]/",
    "https://[1.2.3.4]/",
    "https://[]/",
]

#: Refused for where they lead.
HOSTILE_ADDRESSES = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:53aa:64c::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:a00:1::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2600::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC_ADDRESSES = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80e::200e",
]


def refuse_to_resolve(name: str, port: int) -> list[str]:
    pytest.fail(f"{name} was resolved")


@pytest.mark.parametrize("url", HOSTILE_FORMS)
def test_a_url_of_any_other_form_is_refused_unresolved(url: str) -> None:
    """Broken build: the library's urlsplit, which forgives, takes the URL apart."""
    answer = Sender(tls=NOBODY, resolver=refuse_to_resolve).post(url, {}, b"")
    assert (answer.status, answer.failure) == (None, Failure.URL_REFUSED)
    assert answer.detail


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    """Broken build: only is_private is asked; IPv4 inside IPv6 is not looked for."""
    assert address_problem(address) is not None
    # Also when it is one of several, and whichever place it has.
    for found in ([address, "8.8.8.8"], ["8.8.8.8", "2600::1", address]):
        sender = Sender(tls=NOBODY, resolver=lambda name, port, found=found: found)  # type: ignore[misc]  # binds the loop's value
        answer = sender.find_refusal("https://example.com/")
        assert answer is not None
        assert answer.failure is Failure.ADDRESS_REFUSED
        assert address not in answer.detail


@pytest.mark.parametrize("address", [a for a in HOSTILE_ADDRESSES if "%" not in a])
def test_a_url_with_such_an_address_is_refused_too(address: str) -> None:
    """Broken build: an address in the URL is not checked, for there is nothing to resolve."""
    host = f"[{address}]" if ":" in address else address
    answer = Sender(tls=NOBODY, resolver=refuse_to_resolve).post(f"https://{host}/", {}, b"")
    assert answer.failure is Failure.ADDRESS_REFUSED


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_public_addresses_next_to_special_ones_are_let_through(address: str) -> None:
    """Broken build: a network of the lists is a bit too wide."""
    assert address_problem(address) is None


@given(st.ip_addresses())
def test_nothing_that_the_interpreter_calls_special_is_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Broken build: a list is all there is, and lacks a network."""
    if address_problem(str(address)) is None:
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://Hooks.Example.com", "hooks.example.com", 443, "/", "hooks.example.com"),
        ("https://a.example:8443/x?y=%20&z", "a.example", 8443, "/x?y=%20&z", "a.example:8443"),
        ("https://a.example:443?q", "a.example", 443, "/?q", "a.example"),
        ("https://xn--exmple-cua.com/", "xn--exmple-cua.com", 443, "/", "xn--exmple-cua.com"),
        ("https://8.8.8.8/a@b:c", "8.8.8.8", 443, "/a@b:c", "8.8.8.8"),
        ("https://[2606:4700::0001]:8443/", "2606:4700::1", 8443, "/", "[2606:4700::1]:8443"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, path: str, authority: str) -> None:
    found = parse_url(url)
    is_address = host[0] in "28"
    assert found == Target(host=host, port=port, path=path, tls=True, is_address=is_address)
    assert found.authority == authority


def test_plain_http_is_for_this_machine_when_asked_for() -> None:
    """Broken build: the flag lets plain HTTP out, or lets TLS in to loopback."""
    with pytest.raises(UrlRefused, match="https"):
        parse_url("http://127.0.0.1:9/")
    found = parse_url("http://localhost:9/x", allow_loopback_http=True)
    assert (found.port, found.authority, found.tls) == (9, "localhost:9", False)
    assert parse_url("http://localhost/", allow_loopback_http=True).authority == "localhost"
    for address in ("127.0.0.1", "127.9.9.9", "::1"):
        assert address_problem(address, loopback=True) is None
    for address in ("0.0.0.0", "10.0.0.1", "8.8.8.8", "::ffff:127.0.0.1", "fe80::1"):
        assert address_problem(address, loopback=True) is not None
    sender = Sender(
        tls=NOBODY, allow_loopback_http=True, resolver=lambda name, port: ["127.0.0.1", "8.8.8.8"]
    )
    for url in ("http://mixed.example/", "https://127.0.0.1/", "https://[::1]/"):
        answer = sender.post(url, {}, b"")
        assert answer.failure is Failure.ADDRESS_REFUSED
