"""Addresses and ranges as integers: the one place that knows how they are written.

Takes text, gives ``(family, value)`` pairs and inclusive ranges; family is 4 or 6, a value is the address as an
unsigned integer of 32 or 128 bits. Two readers with different manners live here:

- ``parse_address`` for a *question*: one address in plain notation, everything else is ``BadAddress``.
- ``parse_entry`` for a *line of a list*: also networks, ranges, wildcards, ports and URLs, zero-padded octets.

An IPv4-mapped IPv6 address (::ffff:192.0.2.1, RFC 4291 section 2.5.5.2) is the IPv4 address in both.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from blocklistd import kernel
from blocklistd.errors import BadAddress

MAX4: Final = 2**32 - 1
MAX6: Final = 2**128 - 1
MAPPED: Final = 0xFFFF << 32
"""::ffff:0:0/96 as an integer: the IPv4 address stands in the low 32 bits."""

WIDEST_SIZE: Final = {4: 2 ** (32 - 8), 6: 2 ** (128 - 16)}
"""A list entry larger than an IPv4 /8 or an IPv6 /16 is refused unless its feed says ``allow_wide``."""


class Address(NamedTuple):
    """One address: family 4 or 6 and its value."""

    family: int
    value: int


class Entry(NamedTuple):
    """One list entry as an inclusive range; ``masked`` says that host bits were set and cleared."""

    family: int
    first: int
    last: int
    masked: bool = False

    @property
    def size(self) -> int:
        """How many addresses it covers."""
        return self.last - self.first + 1


def parse_address(text: str) -> Address:
    """Read a question.

    Raises BadAddress for anything but one plain IPv4 or IPv6 address: leading zeros, zone ids, ports, networks and
    surrounding blanks are errors.
    """
    if kernel.active is not None:
        found = kernel.active.parse_address(text)
        if found is None:
            raise BadAddress(_NO_ADDRESS.format(text[:100]))
        return Address._make(found)
    try:
        if ":" not in text:
            return Address(4, int.from_bytes(socket.inet_pton(socket.AF_INET, text)))
        value = int.from_bytes(socket.inet_pton(socket.AF_INET6, text))
    except (OSError, ValueError) as error:
        raise BadAddress(_NO_ADDRESS.format(text[:100])) from error
    if value >> 32 == 0xFFFF:
        return Address(4, value & MAX4)
    return Address(6, value)


_NO_ADDRESS: Final = "{!r} is not an IPv4 or IPv6 address"


def format_address(family: int, value: int) -> str:
    """Write an address canonically (IPv4 dotted, IPv6 as in RFC 5952)."""
    if family == 4:
        return socket.inet_ntop(socket.AF_INET, value.to_bytes(4))
    if value >> 32 in {0, 0xFFFF}:  # the C library writes the low half dotted, RFC 5952 wants it in hexadecimal
        return str(ipaddress.IPv6Address(value))
    return socket.inet_ntop(socket.AF_INET6, value.to_bytes(16))


def canonical(text: str) -> str:
    """One plain address rewritten as ``format_address`` writes it. Raises BadAddress."""
    try:
        if ":" in text and any((packed := socket.inet_pton(socket.AF_INET6, text))[:10]):
            return socket.inet_ntop(socket.AF_INET6, packed)
    except (OSError, ValueError):
        pass  # parse_address says why
    family, value = parse_address(text)
    return text if family == 4 and ":" not in text else format_address(family, value)


def networks_of(family: int, first: int, last: int) -> list[str]:
    """The smallest list of CIDR networks that covers an inclusive range, ascending."""
    if first & (last - first) == 0 and (last - first + 1).bit_count() == 1:  # one network: the usual case
        length = (32 if family == 4 else 128) - (last - first).bit_length()
        return [f"{format_address(family, first)}/{length}"]
    import netaddr

    start, end = netaddr.IPAddress(first, version=family), netaddr.IPAddress(last, version=family)
    return [f"{format_address(family, net.first)}/{net.prefixlen}" for net in netaddr.iprange_to_cidrs(start, end)]


_QUAD = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.ASCII)
_PORT = re.compile(r":\d{1,5}", re.ASCII)
_WILDCARD = re.compile(r"(?:\d{1,3}\.){1,3}\*(?:\.\*){0,2}", re.ASCII)
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f:.]+", re.ASCII)


def parse_entry(text: str) -> Entry | None:
    """Read one token of a list, or give None where it is no address in any known notation.

    Knows an address, CIDR, ``a-b``, address/netmask, ``a.b.c.*``, ``ip:port``, ``[v6]:port`` and URLs with an
    address as host. Zero-padded octets are decimal, set host bits are cleared, no octet is ever clipped.
    """
    token = text.strip()
    if "://" in token:
        return _parse_url(token)
    if "/" in token:
        return _parse_network(token)
    if "*" in token:
        return _parse_wildcard(token)
    if "-" in token:
        start, _, end = token.partition("-")
        return range_between(start, end)
    address = _parse_host(token)
    return None if address is None else Entry(address.family, address.value, address.value)


def parse_listed(text: str) -> Address | None:
    """Read one address as lists write it: zero-padded octets allowed; None if it is none."""
    if ":" not in text:
        match = _QUAD.fullmatch(text)
        if match is None:
            return None
        value = 0
        for octet in match.groups():
            if (number := int(octet)) > 255:
                return None
            value = value << 8 | number
        return Address(4, value)
    if _HEXADECIMAL.fullmatch(text) is None:  # cheap, and keeps words with a colon away from the C library
        return None
    try:
        return parse_address(text)
    except BadAddress:
        return None


def range_between(start: str, end: str) -> Entry | None:
    """The inclusive range from one listed address to another; None if either is none or the end comes first."""
    first, last = parse_listed(start.strip()), parse_listed(end.strip())
    if first is None or last is None or first.family != last.family or last.value < first.value:
        return None
    return Entry(first.family, first.value, last.value)


def _parse_host(token: str) -> Address | None:
    if token.startswith("["):
        host, bracket, port = token[1:].partition("]")
        if not bracket or (port and _PORT.fullmatch(port) is None):
            return None
        return parse_listed(host)
    if token.count(":") == 1:
        host, _, port = token.partition(":")
        return parse_listed(host) if _PORT.fullmatch(f":{port}") else None
    return parse_listed(token)


def _parse_url(token: str) -> Entry | None:
    try:
        host = urlsplit(token).hostname
    except ValueError:
        return None
    address = parse_listed(host) if host else None
    return None if address is None else Entry(address.family, address.value, address.value)


def _parse_network(token: str) -> Entry | None:
    host, _, suffix = token.partition("/")
    address = _parse_host(host) if host.startswith("[") else parse_listed(host)
    if address is None:
        return None
    bits = 32 if address.family == 4 else 128
    mapped = bits == 32 and ":" in host
    length = _mapped_length(suffix) if mapped else _prefix_length(suffix, bits)
    if length is None:
        return None
    size = 1 << bits - length
    first = address.value & ~(size - 1)
    return Entry(address.family, first, first + size - 1, masked=first != address.value)


def _prefix_length(suffix: str, bits: int) -> int | None:
    if suffix.isascii() and suffix.isdigit():
        if len(suffix) > 3 or (length := int(suffix)) > bits:
            return None
        return length
    return netmask_length(suffix) if bits == 32 else None


def _mapped_length(suffix: str) -> int | None:
    """A prefix length over an IPv4-mapped address counts from 96."""
    if suffix.isascii() and suffix.isdigit() and len(suffix) <= 3 and 96 <= int(suffix) <= 128:
        return int(suffix) - 96
    return None


def netmask_length(text: str) -> int | None:
    """The prefix length of a dotted IPv4 netmask (255.255.255.0 is 24), None if it is not one."""
    mask = parse_listed(text)
    if mask is None or mask.family != 4:
        return None
    inverted = mask.value ^ MAX4
    return 32 - inverted.bit_length() if inverted & (inverted + 1) == 0 else None


def _parse_wildcard(token: str) -> Entry | None:
    if _WILDCARD.fullmatch(token) is None:
        return None
    fixed = token.split(".*", 1)[0].split(".")
    if len(fixed) + token.count("*") > 4:
        return None
    low, high = (parse_listed(".".join([*fixed, *[end] * (4 - len(fixed))])) for end in ("0", "255"))
    return None if low is None or high is None else Entry(4, low.value, high.value)


def _entries(*networks: str) -> tuple[Entry, ...]:
    parsed = [parse_entry(network) for network in networks]
    return tuple(entry for entry in parsed if entry is not None)


SPECIAL: Final = _entries(
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/127",
    "64:ff9b:1::/48",
    "100::/64",
    "2001:2::/48",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
)
"""Space that is never a public visitor: the IANA special-purpose registries (RFC 6890 and its updates), multicast
and class E. ``exclude: [bogons]`` takes these out of a feed."""


_NAT64: Final = 0x0064_FF9B << 64
_LOCAL_NAT64: Final = 0x0064_FF9B_0001 << 48


def is_translated(value: int) -> bool:
    """Whether an IPv6 address is IPv4 behind a translator: 64:ff9b::/96 (RFC 6052) or 64:ff9b:1::/96 (RFC 8215)."""
    return value >> 32 in {_NAT64, _LOCAL_NAT64}


def embedded_ipv4(value: int) -> int | None:
    """The public IPv4 address inside an IPv6 address, None where there is none for sure.

    Knows NAT64 (the forms of ``is_translated``), 6to4 (2002::/16, RFC 3056) and Teredo (2001::/32, RFC 4380: the
    client, written inverted). A special-use address inside is none: such forms are invalid or of one's own network.
    """
    if is_translated(value):
        inner = value & MAX4
    elif value >> 112 == 0x2002:
        inner = value >> 80 & MAX4
    elif value >> 96 == 0x2001_0000:
        inner = value & MAX4 ^ MAX4
    else:
        return None
    return None if is_special(4, inner) else inner


def is_special(family: int, value: int) -> bool:
    """Whether an address lies in special-use space."""
    return any(entry.family == family and entry.first <= value <= entry.last for entry in SPECIAL)
