"""Which servers take the mail of a domain: domain → MailServers, asked over DNS. Off unless the operator wants it.

The only part of a report that leaves the host: the name of a domain, never an address, goes to the name servers of this
host or to those that are named. A question has ``PATIENCE`` in all; what is known by then counts, and where that is
nothing the answer is None. Answers are kept as long as DNS says, within bounds. dnspython is imported when it is first
needed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dns.asyncresolver import Resolver
    from dns.name import Name

PATIENCE: Final = 0.5
"""Seconds for all queries of one question together."""
MOST_HOSTS: Final = 3
"""Servers of a domain whose addresses are asked for, the preferred ones."""
MOST_ADDRESSES: Final = 8
MOST_KEPT: Final = 10_000
MOST_UNDER_WAY: Final = 100
"""Domains asked for at the same time; one more has no answer."""
SHORTEST: Final = 60.0
LONGEST: Final = 3600.0
"""Seconds for which an answer is kept, whatever its time to live."""
FAILURE_KEPT: Final = 10.0
"""So long nobody is asked again after no answer came."""
CONFIGURED_FOR: Final = 60.0
"""The resolver's configuration is read again after so many seconds."""


@dataclass(frozen=True, slots=True)
class MailServers:
    """What DNS says of a domain.

    exists: there is such a domain; has_mx: it names servers, else its own address takes its mail; refuses: it says that
    it takes no mail (RFC 7505); hosts: the servers, the preferred first; addresses: of the first of them, as texts;
    whole: all of these addresses could be asked for in time.
    """

    exists: bool = True
    has_mx: bool = False
    refuses: bool = False
    hosts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    whole: bool = True

    @property
    def takes_mail(self) -> bool | None:
        """Whether mail can be delivered there; None where that is not known for sure."""
        if not self.exists or self.refuses:
            return False
        return True if self.addresses else (False if self.whole else None)


class MailServerLookup:
    """Asks, and remembers. For one event loop."""

    def __init__(
        self,
        resolvers: Sequence[tuple[str, int]] = (),
        *,
        count: Callable[[str], None] = lambda _result: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """resolvers: address and port of the name servers to ask instead of the host's own.

        count: called with ``answered``, ``cached`` or ``unanswered`` for each question.
        """
        self._addresses, self._count, self._clock = tuple(resolvers), count, clock
        self._known: dict[str, tuple[float, MailServers | None]] = {}
        self._under_way: dict[str, asyncio.Task[MailServers | None]] = {}
        self._resolver: Resolver | None = None
        self._configured = float("-inf")

    async def servers(self, domain: str) -> MailServers | None:
        """The servers of a domain in ASCII; None where there was no answer in time."""
        known = self._known.get(domain)
        if known is not None and self._clock() < known[0]:
            self._count("cached")
            return known[1]
        task = self._under_way.get(domain)
        if task is None:
            if len(self._under_way) >= MOST_UNDER_WAY:
                self._count("unanswered")
                return None
            task = self._under_way[domain] = asyncio.create_task(self._ask(domain))
            task.add_done_callback(lambda _task: self._under_way.pop(domain, None))
        found = await asyncio.shield(task)
        self._count("unanswered" if found is None else "answered")
        return found

    async def close(self) -> None:
        """Stop asking."""
        tasks = tuple(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, domain: str) -> MailServers | None:
        found, lasting = await self._query(domain)
        self._keep(domain, found, lasting)
        return found

    def _keep(self, domain: str, found: MailServers | None, lasting: float) -> None:
        self._known.pop(domain, None)
        while len(self._known) >= MOST_KEPT:
            self._known.pop(next(iter(self._known)), None)
        self._known[domain] = self._clock() + lasting, found

    async def _query(self, domain: str) -> tuple[MailServers | None, float]:
        """The answer, and for how many seconds it is kept."""
        if self._resolver is None or self._clock() - self._configured > CONFIGURED_FOR:
            self._resolver = await asyncio.to_thread(_make_resolver, self._addresses)
            self._configured = self._clock()
        if self._resolver is None:
            return None, FAILURE_KEPT
        question = _Question(self._resolver)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await question.ask(domain)
        found = question.found()
        if found is None:
            return None, FAILURE_KEPT
        return found, min(max(question.lasting, SHORTEST), LONGEST) if found.whole else FAILURE_KEPT


def _make_resolver(addresses: Sequence[tuple[str, int]]) -> Resolver | None:
    """A resolver for these servers, or those of the host; None where it has none. Imports, so call it off the loop."""
    import dns.asyncresolver
    import dns.nameserver
    import dns.resolver

    try:
        resolver = dns.asyncresolver.Resolver(configure=not addresses)
    except dns.resolver.NoResolverConfiguration:
        return None
    if addresses:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in addresses]
    resolver.lifetime = PATIENCE
    resolver.timeout = PATIENCE / 2
    resolver.use_edns(0, 0, 1232)
    return resolver


class _Question:
    """One domain while it is asked for: whoever stops waiting takes what is there."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._answered = False
        self._exists, self._has_mx, self._refuses = True, False, False
        self._hosts: tuple[str, ...] = ()
        self._addresses: list[str] = []
        self._waiting = 0
        self.lasting = LONGEST

    def found(self) -> MailServers | None:
        """What is known now."""
        if not self._answered:
            return None
        addresses = tuple(dict.fromkeys(self._addresses))[:MOST_ADDRESSES]
        whole = self._waiting == 0
        return MailServers(self._exists, self._has_mx, self._refuses, self._hosts, addresses, whole)

    async def ask(self, domain: str) -> None:
        """The servers, then the addresses of the first of them, all at once."""
        import dns.exception
        import dns.name
        import dns.resolver

        try:
            name = dns.name.from_text(f"{domain}.")
            answer = await self._resolver.resolve(name, "MX", raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            self._answered, self._exists, self.lasting = True, False, SHORTEST
            return
        except (dns.exception.DNSException, OSError):
            return
        self._answered = True
        records = sorted((record.preference, record.exchange) for record in answer.rrset or ())
        if answer.rrset is not None:
            self.lasting = answer.rrset.ttl
        self._has_mx = bool(records)
        hosts = [exchange for _, exchange in records if exchange != dns.name.root]
        self._refuses = self._has_mx and not hosts
        self._hosts = tuple(host.to_text(omit_final_dot=True).lower() for host in hosts)[:MOST_HOSTS]
        if self._refuses:
            return
        asked = [(host, kind) for host in hosts[:MOST_HOSTS] or [name] for kind in ("A", "AAAA")]
        self._waiting = len(asked)
        await asyncio.gather(*(self._ask_addresses(host, kind) for host, kind in asked))

    async def _ask_addresses(self, host: Name, kind: str) -> None:
        import dns.exception
        import dns.resolver

        try:
            answer = await self._resolver.resolve(host, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            self._waiting -= 1
            return
        except (dns.exception.DNSException, OSError):
            return
        self._waiting -= 1
        if answer.rrset is not None:
            self.lasting = min(self.lasting, answer.rrset.ttl)
            self._addresses += [record.address for record in answer.rrset if is_reachable(record.address)]


def is_reachable(address: str) -> bool:
    """Whether anybody but the asking host itself is meant: loopback as a mail server means nobody."""
    parsed = ip_address(address)
    return not (parsed.is_loopback or parsed.is_unspecified)
