"""The frozen types of judging mail: NameEvidence, Signal and Server → NameReport → MailReport, DomainReport.

Nothing here does any work but writing itself as JSON objects. Times are unix seconds, 0 where unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from blocklistd.addresses import format_address
from blocklistd.units import format_moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blocklistd.reputation.mail_address import DomainName, MailAddress
    from blocklistd.reputation.mail_servers import MailServers
    from blocklistd.reputation.report import Decision


class NameEvidence(NamedTuple):
    """One feed that names an address or a domain; name: what it names, which may stand above the domain."""

    feed: str
    title: str
    category: str
    provider: str | None
    name: str
    first_seen: float
    last_seen: float
    current: bool
    contribution: int


class Signal(NamedTuple):
    """Something that no list says; contribution: its share of the score."""

    signal: str
    contribution: int


class Server(NamedTuple):
    """One address of a mail server, as lists see it."""

    ip: str
    score: int
    feeds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NameReport:
    """What a domain and what is known of it come to; the same for addresses and domains.

    Contributions of listings and signals add up to the score. dns: None where it was not asked; servers: of the
    addresses that DNS gave. listed: a list of some risk names it.
    """

    listed: bool
    score: int
    decision: Decision
    flags: Mapping[str, bool]
    listings: tuple[NameEvidence, ...]
    signals: tuple[Signal, ...]
    reasons: tuple[str, ...]
    dns: MailServers | None
    dns_asked: bool
    servers: tuple[Server, ...]
    snapshot: Mapping[str, Any]

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        decision = self.decision
        first = min((row.first_seen for row in self.listings if row.first_seen), default=0.0)
        last = max((row.last_seen for row in self.listings), default=0.0)
        return {
            "listed": self.listed,
            "score": self.score,
            "verdict": decision.verdict,
            "profile": decision.profile,
            "decided_by": decision.decided_by,
            "fail": decision.fail,
            "would": decision.would,
            "flags": dict(self.flags),
            "listings": [
                {
                    **row._asdict(),
                    "first_seen": format_moment(row.first_seen),
                    "last_seen": format_moment(row.last_seen),
                }
                for row in self.listings
            ],
            "signals": [row._asdict() for row in self.signals],
            "reasons": list(self.reasons),
            "first_seen": format_moment(first),
            "last_seen": format_moment(last),
            "dns": self._dns_document(),
            "snapshot": self.snapshot,
        }

    def _dns_document(self) -> dict[str, Any]:
        known = self.dns
        return {
            "asked": self.dns_asked,
            "domain_exists": known.exists if known else None,
            "mx": known.has_mx if known else None,
            "takes_mail": known.takes_mail if known else None,
            "hosts": list(known.hosts) if known else None,
            "servers": [{**row._asdict(), "feeds": list(row.feeds)} for row in self.servers]
            if known or self.servers
            else None,
        }


@dataclass(frozen=True, slots=True)
class MailReport:
    """Everything known of one e-mail address."""

    address: MailAddress
    name: NameReport

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        address, domain = self.address, self.address.domain
        literal = f"[{format_address(*address.literal)}]" if address.literal else None
        return {
            "address": address.address,
            "valid": address.problem is None,
            "problem": address.problem,
            "local_part": address.local_part,
            "domain": domain.name if domain else literal,
            "written_domain": domain.written if domain else literal,
            "registrable_domain": domain.registrable if domain else None,
            "canonical": address.canonical,
            "subaddress": address.subaddress,
            **self.name.as_document(),
        }


@dataclass(frozen=True, slots=True)
class DomainReport:
    """Everything known of one domain; feeds: those that name it exactly or by a wildcard, the plain facts."""

    domain: DomainName
    feeds: tuple[str, ...]
    name: NameReport

    def as_document(self) -> dict[str, Any]:
        """For JSON; ``listed`` and ``snapshot`` are as plain as ``feeds``."""
        return {
            "domain": self.domain.name,
            "written_domain": self.domain.written,
            "registrable_domain": self.domain.registrable,
            **self.name.as_document(),
            "listed": bool(self.feeds),
            "feeds": self.feeds,
            "snapshot": self.name.snapshot["id"],
        }
