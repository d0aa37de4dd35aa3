"""Never block yourself: addresses against which nothing is done, whatever lists say, and why.

Takes what the policy chose (``Suppressed``) and what this host is (``Host``); gives for an address the reason why it is
suppressed, or None. The most exact network that holds an address gives the reason; of equals the one named first here:
own, gateway, resolver, special space, public resolver, network of the policy.
"""

from __future__ import annotations

import json
import socket
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytricia

from blocklistd.addresses import embedded_ipv4, is_translated, parse_address, parse_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blocklistd.addresses import Address
    from blocklistd.reputation.host import Host
    from blocklistd.reputation.policy import Suppressed

SPECIAL_WORDS: Final[Mapping[str, str]] = {
    "0.0.0.0/8": "unspecified",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "carrier-grade NAT",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "protocol assignment",
    "192.0.2.0/24": "documentation",
    "192.88.99.0/24": "reserved",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "benchmark",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "::/128": "unspecified",
    "::1/128": "loopback",
    "64:ff9b:1::/48": "local translation",
    "100::/64": "discard-only",
    "2001:2::/48": "benchmark",
    "2001:db8::/32": "documentation",
    "3fff::/20": "documentation",
    "5f00::/16": "segment routing",
    "fc00::/7": "private",
    "fe80::/10": "link-local",
    "ff00::/8": "multicast",
}
"""What kind of address each network of ``addresses.SPECIAL`` holds."""


class Suppression:
    """Answers for one policy and one state of the host; make another when either changes."""

    def __init__(self, chosen: Suppressed, host: Host) -> None:
        """Raises ValueError for a network of the policy that is none."""
        self._tries = _Tries()
        for name, addresses, words in (
            ("own", host.own, "address of this host"),
            ("gateway", host.gateways, "default gateway of this host"),
            ("resolvers", host.resolvers, "name server of this host"),
        ):
            if name in chosen.sets:
                self._tries.add_addresses(addresses, words)
        if "bogons" in chosen.sets:
            self._tries.add_networks(_special_reasons())
        if "public_resolvers" in chosen.sets:
            for name, resolvers in public_resolvers().items():
                self._tries.add_addresses(resolvers, f"public resolver ({name})")
        self._tries.add_networks({network: f"network {network} of the policy" for network in chosen.networks})
        self._asns = chosen.asns
        self._categories = tuple(name for name in ("cdn", "crawler", "relay") if name in chosen.sets)

    def reason(self, family: int, value: int, asn: int | None, named_by: Mapping[str, str]) -> str | None:
        """Why nothing is done against an address, None if it is like any other.

        named_by: category → feed, of the lists that name it. An address of a translator that holds a public IPv4
        address is no special one: ask for that one as well.
        """
        found = self._tries.find(family, value)
        if found is not None and not (found == _TRANSLATION and _translates(value)):
            return found
        if asn in self._asns:
            return f"AS{asn} of the policy"
        for category in self._categories:
            if category in named_by:
                return f"{category} ({named_by[category]})"
        return None

    def is_bogon(self, family: int, value: int) -> bool:
        """Whether an address is special space, from which no visitor comes; chosen to be suppressed or not."""
        found = _special().find(family, value)
        return found is not None and not (found == _TRANSLATION and _translates(value))


class _Tries:
    """Networks with a text each, one trie a family; the first text of a network stays."""

    __slots__ = ("_four", "_six")

    def __init__(self) -> None:
        # the third argument: keys are bytes
        self._four = pytricia.PyTricia(32, socket.AF_INET, True)
        self._six = pytricia.PyTricia(128, socket.AF_INET6, True)

    def find(self, family: int, value: int) -> str | None:
        """The text of the most exact network that holds an address."""
        text: str | None = self._four.get(value.to_bytes(4)) if family == 4 else self._six.get(value.to_bytes(16))
        return text

    def add_addresses(self, addresses: Iterable[Address], words: str) -> None:
        """Put in single addresses."""
        for family, value in addresses:
            self._add(family, value, 32 if family == 4 else 128, words)

    def add_networks(self, texts: Mapping[str, str]) -> None:
        """Put in networks in CIDR notation, or addresses; raises ValueError for anything else."""
        for network, words in texts.items():
            entry = parse_entry(network)
            if entry is None or entry.size.bit_count() != 1 or entry.first % entry.size:
                raise ValueError(f"{network!r} is neither an address nor a network")
            bits = 32 if entry.family == 4 else 128
            self._add(entry.family, entry.first, bits - (entry.size.bit_length() - 1), words)

    def _add(self, family: int, value: int, length: int, words: str) -> None:
        trie, key = (self._four, value.to_bytes(4)) if family == 4 else (self._six, value.to_bytes(16))
        if not trie.has_key((key, length)):
            trie.insert(key, length, words)


def _translates(value: int) -> bool:
    return is_translated(value) and embedded_ipv4(value) is not None


def _special_reasons() -> dict[str, str]:
    return {network: f"{words} address ({network})" for network, words in SPECIAL_WORDS.items()}


_TRANSLATION: Final = _special_reasons()["64:ff9b:1::/48"]


@cache
def _special() -> _Tries:
    tries = _Tries()
    tries.add_networks(_special_reasons())
    return tries


@cache
def public_resolvers() -> Mapping[str, tuple[Address, ...]]:
    """Addresses of well-known public resolvers by the name of who runs them (``data/resolvers.json``)."""
    rows = json.loads(Path(__file__).with_name("data").joinpath("resolvers.json").read_bytes())
    return {name: tuple(map(parse_address, texts)) for name, texts in rows.items()}
