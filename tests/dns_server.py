"""A small name server on loopback, which says what it is told and remembers what it was asked."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """zone: name and type → (TTL, records); a name that is in none does not exist.

    silent: names that get no answer; broken: names that get SERVFAIL.
    """

    zone: Mapping[tuple[str, str], tuple[int, list[str]]]
    silent: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()
    questions: list[tuple[str, str]] = field(default_factory=list)
    address: tuple[str, int] = ("", 0)
    transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, peer: Any) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.questions.append((name, kind))
        if name in self.silent:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name in self.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in self.zone:
            ttl, records = self.zone[name, kind]
            response.answer.append(dns.rrset.from_text(f"{name}.", ttl, "IN", kind, *records))
        elif not any(name == known for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(response.to_wire(), peer)


@asynccontextmanager
async def name_server(
    zone: Mapping[tuple[str, str], tuple[int, list[str]]], **options: Any
) -> AsyncIterator[NameServer]:
    server = NameServer(zone, **options)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", 0))
    server.address = transport.get_extra_info("sockname")
    try:
        yield server
    finally:
        transport.close()
