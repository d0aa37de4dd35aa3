"""What this host is to the network: its own addresses, its default gateways, the name servers it asks.

Takes what the kernel shows under /proc/self/net (there also in the sandboxes of systemd/, without a netlink socket) and
the files of the resolver; gives a frozen ``Host``. A process that sees no network, such as the server of the split
variant, reads what the last refresh has written down: ``host.json`` in the data folder.
"""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blocklistd.addresses import Address, format_address, parse_address
from blocklistd.errors import BadAddress
from blocklistd.files import read_regular, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KERNEL: Final = Path("/proc/self/net")
RESOLVER_FILES: Final = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
RECORD: Final = "host.json"
LARGEST: Final = 4 * 2**20
"""A host with more routes than fit in so many bytes is a router; its addresses have to be named in the policy."""
RECORD_LIFE: Final = 2 * 86400.0
"""A record older than so many seconds is not used: the addresses may be somebody else's by now."""
_GATEWAY: Final = 0x0002
_REJECT: Final = 0x0200


@dataclass(frozen=True, slots=True)
class Host:
    """Addresses by what they are to this host. problems: what could not be read, in sentences."""

    own: frozenset[Address] = frozenset()
    gateways: frozenset[Address] = frozenset()
    resolvers: frozenset[Address] = frozenset()
    problems: tuple[str, ...] = ()

    def described(self) -> dict[tuple[int, int], str]:
        """Own addresses and gateways in words, for who watches that no list names them."""
        parts = (self.gateways, "default gateway of this host"), (self.own, "address of this host")
        return {
            (address.family, address.value): f"{format_address(*address)} ({words})"
            for addresses, words in parts
            for address in sorted(addresses)
        }


def read_host(
    data: Path,
    *,
    kernel: Path = KERNEL,
    resolver_files: Iterable[Path] = RESOLVER_FILES,
    now: float | None = None,
) -> Host:
    """What the kernel and the resolver say, and where that is loopback alone, the record of a data folder.

    now: unix time. Never raises.
    """
    seen = look(kernel, resolver_files)
    if not all(_is_loopback(address) for address in seen.own):
        return seen
    recorded = _read_record(data / RECORD, time.time() if now is None else now)
    return Host(
        seen.own | recorded.own,
        seen.gateways | recorded.gateways,
        seen.resolvers | recorded.resolvers,
        seen.problems + recorded.problems,
    )


def look(kernel: Path = KERNEL, resolver_files: Iterable[Path] = RESOLVER_FILES) -> Host:
    """What the kernel and the resolver say now. Never raises."""
    problems: list[str] = []

    def lines(path: Path, *, needed: bool) -> list[str]:
        try:
            text = read_regular(path, LARGEST + 1)
        except OSError as error:
            if needed:
                problems.append(f"{path}: {error.strerror or error}")
            return []
        if len(text) > LARGEST:
            problems.append(f"{path}: larger than {LARGEST} bytes, so name this host's addresses in the policy")
        return text[:LARGEST].decode(errors="replace").splitlines()

    own = {*own4(lines(kernel / "fib_trie", needed=True)), *own6(lines(kernel / "if_inet6", needed=False))}
    routes4, routes6 = lines(kernel / "route", needed=True), lines(kernel / "ipv6_route", needed=False)
    resolvers = (address for path in resolver_files for address in name_servers(lines(path, needed=False)))
    return Host(
        frozenset(own), frozenset({*gateways4(routes4), *gateways6(routes6)}), frozenset(resolvers), tuple(problems)
    )


def record_host(data: Path, host: Host, *, now: float | None = None) -> None:
    """Write down what a process that sees the network knows. Raises OSError."""
    document = {
        "at": time.time() if now is None else now,
        **{name: sorted(format_address(*a) for a in getattr(host, name)) for name in ("own", "gateways", "resolvers")},
    }
    write_atomically(data / RECORD, json.dumps(document).encode(), durable=False)


def _read_record(path: Path, now: float) -> Host:
    try:
        document = json.loads(read_regular(path, LARGEST))
        if not abs(now - document["at"]) < RECORD_LIFE:
            return Host()
        own, gateways, resolvers = (
            frozenset(map(parse_address, document[name])) for name in ("own", "gateways", "resolvers")
        )
    except FileNotFoundError:
        return Host()
    except (OSError, ValueError, TypeError, KeyError, BadAddress, RecursionError) as error:
        return Host(problems=(f"{path}: not readable, the next refresh writes it anew: {error}",))
    return Host(own, gateways, resolvers)


def _is_loopback(address: Address) -> bool:
    return address.value >> 24 == 127 if address.family == 4 else address.value == 1


def own4(lines: Iterable[str]) -> Iterator[Address]:
    """IPv4 addresses of this host from ``fib_trie``: a leaf, and below it ``/32 host LOCAL``."""
    leaf = ""
    for line in lines:
        words = line.split()
        if len(words) == 2 and words[0] == "|--":
            leaf = words[1]
        elif words[:1] == ["/32"] and words[-1] == "LOCAL":
            yield from _addresses(leaf)


def own6(lines: Iterable[str]) -> Iterator[Address]:
    """IPv6 addresses of this host from ``if_inet6``: 32 hexadecimal digits at the start of each line."""
    for line in lines:
        yield from _hexadecimal6(line[:32])


def gateways4(lines: Iterable[str]) -> Iterator[Address]:
    """Gateways of default routes from ``route``: device, target, gateway, flags, …, mask; numbers as the machine's."""
    for line in lines:
        words = line.split()
        if len(words) >= 8 and words[1] == words[7] == "00000000" and _flags(words[3]) & _GATEWAY:
            number = int(words[2], 16) if _HEXADECIMAL4.fullmatch(words[2]) else 0
            if number:
                yield Address(4, int.from_bytes(number.to_bytes(4, sys.byteorder)))


def gateways6(lines: Iterable[str]) -> Iterator[Address]:
    """Gateways of default routes from ``ipv6_route``: target, length, source, length, gateway, …, flags, device."""
    for line in lines:
        words = line.split()
        if len(words) >= 9 and words[1] == "00" and _flags(words[8]) & (_GATEWAY | _REJECT) == _GATEWAY:
            yield from _hexadecimal6(words[4])


def name_servers(lines: Iterable[str]) -> Iterator[Address]:
    """Addresses of ``nameserver`` lines, zone ids cut off."""
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            yield from _addresses(words[1].partition("%")[0])


_HEXADECIMAL4: Final = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_HEXADECIMAL6: Final = re.compile(r"[0-9A-Fa-f]{32}", re.ASCII)


def _flags(text: str) -> int:
    return int(text, 16) if re.fullmatch(r"[0-9A-Fa-f]{1,8}", text, re.ASCII) else 0


def _hexadecimal6(text: str) -> Iterator[Address]:
    if _HEXADECIMAL6.fullmatch(text) and int(text, 16):
        yield Address(6, int(text, 16))


def _addresses(text: str) -> Iterator[Address]:
    try:
        yield parse_address(text)
    except BadAddress:
        return
