"""Where a redirect may lead: decisions over addresses, and the resolver that enforces them."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.collect.guard import (
    AddressRefusedError,
    GuardedResolver,
    Reach,
    literal_of,
    reach_of,
    redirect_refusal,
    refusal,
)
from blocklistd.errors import BadAddress
from tests.collect.servers import TableResolver

PUBLIC = "1.1.1.1"
REACHES = [Reach.PUBLIC, Reach.PRIVATE, Reach.METADATA]


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.0.0.1", "127.0.0.1", "127.255.255.254", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::7f00:1", "::ffff:10.0.0.1", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "100::1"),
        *("2001:db8::1", "2001::1", "64:ff9b:1::1", "4000::1"),
        *("64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::1", "2002:a00:1::", "2002:c0a8:101::1"),
    ],
)
def test_addresses_inside(address: str) -> None:
    """Private, loopback, shared, multicast and reserved space is inside, also when embedded in IPv6."""
    assert reach_of(address) is Reach.PRIVATE


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "fe80::1", "fe80::1%eth0"),
        *("febf::1", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"),
        "::a9fe:a9fe",
    ],
)
def test_addresses_of_metadata_services(address: str) -> None:
    """Link-local space and the services that hand out credentials are farthest inside."""
    assert reach_of(address) is Reach.METADATA


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "11.0.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::1.1.1.1", "2002:101:101::1", "::ffff:1.1.1.1"],
)
def test_addresses_outside(address: str) -> None:
    """Everything else is public, also behind NAT64 and 6to4."""
    assert reach_of(address) is Reach.PUBLIC


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_the_standard_library_calls_private_is_public(address: ipaddress.IPv4Address) -> None:
    """The guard is never laxer than ipaddress, in plain, mapped, NAT64 and 6to4 form."""
    mapped = int(address)
    forms = [
        str(address),
        f"::ffff:{address}",
        str(ipaddress.IPv6Address((0x64FF9B << 96) | mapped)),
        str(ipaddress.IPv6Address((0x2002 << 112) | mapped << 80)),
    ]
    for form in forms:
        if not address.is_global or address.is_multicast or address.is_reserved or address.is_link_local:
            assert reach_of(form) is not Reach.PUBLIC, form
    assert len({reach_of(form) for form in forms}) == 1


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_the_standard_library_calls_private_is_public(address: ipaddress.IPv6Address) -> None:
    """The same for IPv6, but for forms that are judged by the IPv4 address they hold."""
    embedding = int(address) >> 32 in {0xFFFF, 0x64FF9B << 64} or int(address) >> 112 == 0x2002
    if not embedding and (not address.is_global or address.is_reserved):
        assert reach_of(str(address)) is not Reach.PUBLIC


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::ffff:7f00:1", "127.0.0.1"),
        ("fe80::1%25eth0", "fe80::1"),
        ("0", "0.0.0.0"),
        ("lists.example", None),
        ("localhost", None),
        ("1.1.1.1.example", None),
        ("", None),
        ("256.1.1.1", None),
        ("münchen.example", None),
    ],
)
def test_literals_in_every_notation(host: str, address: str | None) -> None:
    """Whatever a C library would take for an address is recognised as one; names are not."""
    assert literal_of(host) == address


@pytest.mark.parametrize("own", ["http", "https"])
def test_schemes(own: str) -> None:
    """Only http and https are followed, and https never becomes http."""
    for scheme in ("ftp", "file", "data", "javascript", ""):
        assert redirect_refusal(own, Reach.METADATA, scheme, "lists.example") is not None
    assert redirect_refusal(own, Reach.PUBLIC, "https", "lists.example") is None
    assert (redirect_refusal(own, Reach.PUBLIC, "http", "lists.example") is None) is (own == "http")


@given(st.sampled_from(REACHES), st.sampled_from([PUBLIC, "10.0.0.1", "169.254.169.254"]))
def test_a_redirect_never_leads_farther_in(own: Reach, target: str) -> None:
    """What the catalogue's own URL may reach bounds what its redirects may."""
    refused = redirect_refusal("http", own, "http", target) is not None
    assert refused is (reach_of(target) > own)


def test_words_of_refusals() -> None:
    """The reason says what kind of address it was, and never which."""
    assert refusal(["10.0.0.1"], Reach.PUBLIC) == "redirect to a private address refused"
    assert refusal(["fe80::1"], Reach.PRIVATE) == "redirect to a link-local or metadata address refused"
    assert refusal([], Reach.PUBLIC) is None


def test_what_is_no_address_is_an_error() -> None:
    """reach_of judges addresses only."""
    with pytest.raises(BadAddress):
        reach_of("lists.example")


@given(
    st.lists(st.sampled_from([PUBLIC, "10.0.0.1", "::1", "169.254.169.254", "2606:4700::1111"]), max_size=5),
    st.sampled_from(REACHES),
)
async def test_the_resolver_gives_only_what_may_be_connected_to(addresses: list[str], limit: Reach) -> None:
    """Of several addresses the allowed ones remain; if none does, the name is refused."""
    resolver = GuardedResolver(TableResolver({"lists.example": addresses}), limit)
    allowed = [address for address in addresses if reach_of(address) <= limit]
    if addresses and not allowed:
        with pytest.raises(AddressRefusedError):
            await resolver.resolve("lists.example", 443, socket.AF_UNSPEC)
    else:
        found = await resolver.resolve("lists.example", 443, socket.AF_UNSPEC)
        assert [result["host"] for result in found] == allowed
    await resolver.close()


async def test_the_resolver_passes_failures_on() -> None:
    """A name nobody knows is an OSError, as from any resolver."""
    resolver = GuardedResolver(TableResolver({}), Reach.PUBLIC)
    with pytest.raises(OSError, match="no such name"):
        await resolver.resolve("lists.example")
    assert resolver.nearest == {}
