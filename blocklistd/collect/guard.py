"""Where a redirect may lead: a list server must not be able to send us to hosts it cannot reach itself.

Pure decisions over addresses in text (``reach_of``, ``literal_of``, ``redirect_refusal``), and
``GuardedResolver``, which lets a connector see only addresses that passed, so what was checked is what is
connected to (no DNS rebinding).

The operator's own URL is trusted to name any host. What it redirects to may be no farther in than the URL
itself: ``Reach.PUBLIC`` may lead to public addresses only, ``PRIVATE`` also to private ones, and only a URL
that is itself link-local or a metadata service may lead to such.
"""

from __future__ import annotations

import socket
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from blocklistd.addresses import MAX4, format_address, is_special, parse_address
from blocklistd.errors import BadAddress

if TYPE_CHECKING:
    from collections.abc import Iterable


class Reach(IntEnum):
    """How far inside an address lies; a redirect never leads to a higher value than that of its origin."""

    PUBLIC = 0
    PRIVATE = 1
    """Loopback, private, shared (CGNAT), multicast, reserved, documentation, tunnels."""
    METADATA = 2
    """Link-local, and the addresses where clouds hand out credentials."""


_METADATA4: Final = frozenset(parse_address(text).value for text in ("100.100.100.200", "168.63.129.16"))
"""Metadata services outside 169.254.0.0/16; the second one looks public."""

_METADATA6: Final = frozenset(parse_address(text).value for text in ("fd00:ec2::254", "fd20:ce::254"))

_NAT64: Final = parse_address("64:ff9b::").value >> 32
_PROTOCOLS: Final = parse_address("2001::").value >> 105
"""2001::/23, IETF protocol assignments: Teredo and others, none of them a place for a list."""

_OTHER_SCHEMES: Final = frozenset({"data", "file", "ftp", "ftps", "gopher", "javascript"})
"""Named in a refusal; other words of a server are not repeated."""

_WORDS: Final = {Reach.PRIVATE: "a private address", Reach.METADATA: "a link-local or metadata address"}


class AddressRefusedError(OSError):
    """A name resolves only to addresses that this connection must not reach; the text is a plain reason."""


def reach_of(text: str) -> Reach:
    """How far inside an address lies; where it holds an IPv4 address (NAT64, 6to4), that one decides.

    Takes IPv4 or IPv6 with or without zone id. Raises BadAddress.
    """
    family, value = parse_address(text.partition("%")[0])
    return _reach4(value) if family == 4 else _reach6(value)


def _reach4(value: int) -> Reach:
    if value >> 16 == 0xA9FE or value in _METADATA4:
        return Reach.METADATA
    return Reach.PRIVATE if is_special(4, value) else Reach.PUBLIC


def _reach6(value: int) -> Reach:
    if value >> 118 == 0xFE80 >> 6 or value in _METADATA6:
        return Reach.METADATA
    if value >> 32 == _NAT64:
        return _reach4(value & MAX4)
    if value >> 112 == 0x2002:
        return _reach4(value >> 80 & MAX4)
    if value >> 32 == 0:  # ::, ::1 and the deprecated IPv4-compatible addresses
        return max(Reach.PRIVATE, _reach4(value & MAX4))
    if value >> 125 != 1 or value >> 105 == _PROTOCOLS or is_special(6, value):  # outside 2000::/3 nothing is global
        return Reach.PRIVATE
    return Reach.PUBLIC


def literal_of(host: str) -> str | None:
    """The canonical address that a URL's host stands for, None if it is a name.

    Knows every notation that a C library takes for an address: ``2130706433``, ``0x7f.1`` and
    ``0177.0.0.1`` are 127.0.0.1.
    """
    bare = host.removeprefix("[").removesuffix("]").partition("%")[0].rstrip(".")
    try:
        return format_address(*parse_address(bare))
    except BadAddress:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(bare)) if bare.isalnum() or "." in bare else None
    except (OSError, UnicodeError):
        return None


def redirect_refusal(own_scheme: str, own_reach: Reach, scheme: str, host: str) -> str | None:
    """Why a redirect must not be followed, None if it may.

    Names pass here: ``GuardedResolver`` judges them when they resolve.
    own_scheme, own_reach: of the URL in the catalogue. scheme, host: of the target.
    """
    if scheme not in {"http", "https"}:
        return f"redirect to {scheme if scheme in _OTHER_SCHEMES else 'an unknown scheme'} refused"
    if scheme == "http" and own_scheme == "https":
        return "redirect from https to http refused"
    literal = literal_of(host)
    return None if literal is None else refusal([literal], own_reach)


def refusal(addresses: Iterable[str], limit: Reach) -> str | None:
    """Why none of these addresses may be reached, None if at least one may (or there is none at all)."""
    reaches = [reach_of(address) for address in addresses]
    if not reaches or min(reaches) <= limit:
        return None
    return f"redirect to {_WORDS[min(reaches)]} refused"


class GuardedResolver(AbstractResolver):
    """Resolves names through ``inner`` and withholds every address beyond ``limit``.

    nearest: host → the most public reach it was ever seen at; what a feed's own URL is judged by.
    """

    def __init__(self, inner: AbstractResolver, limit: Reach) -> None:
        self.nearest: dict[str, Reach] = {}
        self._inner = inner
        self._limit = limit

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> list[ResolveResult]:
        """The allowed addresses of a host. Raises AddressRefusedError if it has only others, else OSError."""
        found = await self._inner.resolve(host, port, family)
        reaches = {result["host"]: reach_of(result["host"]) for result in found}
        if reaches:
            nearest = min(reaches.values())
            self.nearest[host] = min(nearest, self.nearest.get(host, nearest))
        if reason := refusal(reaches, self._limit):
            raise AddressRefusedError(reason)
        return [result for result in found if reaches[result["host"]] <= self._limit]

    async def close(self) -> None:
        """Nothing of its own to close; ``inner`` belongs to the caller."""
