"""``blocklistd report someone@example.org``: the report on an e-mail address, for people or as JSON."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from blocklistd.collect.text import printable
from blocklistd.reputation.mail import MailAssessor
from blocklistd.reputation.mail_address import read_mail_address
from blocklistd.reputation.mail_servers import MailServerLookup
from blocklistd.units import format_moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocklistd.reputation.assess import Assessor
    from blocklistd.reputation.mail_address import DomainName
    from blocklistd.reputation.mail_report import MailReport
    from blocklistd.settings import Settings


def report_mail(settings: Settings, assessor: Assessor, text: str, profile: str) -> MailReport:
    """The report that a worker with these settings would give now. Raises UsageError, StorageFailed."""
    address = read_mail_address(text)
    asked = settings.mail_dns and address.problem is None and address.domain is not None and address.domain.public
    servers = None
    if asked and address.domain is not None:
        servers = asyncio.run(MailServerLookup(settings.mail_resolver).servers(address.domain.name))
    return MailAssessor(assessor).mail(address, profile, servers, asked=asked)


def lines_of(report: MailReport) -> Iterator[str]:
    """The report for a person."""
    address, name = report.address, report.name
    decision = name.decision
    shadow = f", would be {decision.would} without shadow mode" if decision.would else ""
    yield f"{printable(address.address)}  {decision.verdict}, score {name.score}{shadow}"
    yield f"  decided by  {printable(decision.decided_by)}, profile {printable(decision.profile)}"
    shares = [(row.contribution, row.feed, f"{row.category:10}  {_since(row.first_seen)}") for row in name.listings]
    shares += [(row.contribution, row.signal, "signal") for row in name.signals]
    wide = max((len(who) for _, who, _ in shares), default=0)
    for number, (share, who, what) in enumerate(sorted(shares, key=lambda row: -row[0])):
        yield f"  {'' if number else 'why':10}{'+' if number else ' '}{share:4}  {who:{wide}}  {what}".rstrip()
    if not shares:
        yield "  why         no list names it, and nothing else speaks against it"
    for number, reason in enumerate(name.reasons):
        yield f"  {'' if number else 'in words':10}  {printable(reason)}"
    if flags := [flag for flag, up in name.flags.items() if up]:
        yield f"  flags       {', '.join(flags)}"
    if address.canonical is not None and address.canonical != address.address:
        yield f"  canonical   {printable(address.canonical)}"
    if address.domain is not None:
        yield f"  domain      {_domain(address.domain)}"
    if address.problem is None:
        yield f"  mail server {_servers(report)}"
    if stale := name.snapshot["stale_feeds"]:
        yield f"  stale       {', '.join(stale)}"


def _domain(domain: DomainName) -> str:
    written = printable(domain.written)
    if domain.registrable is None:
        return f"{written}, {'a public suffix' if domain.public else 'below no known top-level domain'}"
    return written if domain.registrable == domain.name else f"{written}, which belongs to {domain.registrable}"


def _since(moment: float) -> str:
    return f"since {(format_moment(moment) or '?').partition('T')[0]}"


def _servers(report: MailReport) -> str:
    name = report.name
    if name.dns is None:
        return "no answer from DNS in time" if name.dns_asked else "not asked for (--mail-dns asks)"
    if not name.dns.exists:
        return "none: there is no such domain"
    if name.dns.refuses:
        return "none: the domain takes no mail"
    hosts = ", ".join(map(printable, name.dns.hosts)) if name.dns.has_mx else "the domain itself"
    return f"{hosts} ({', '.join(f'{row.ip} score {row.score}' for row in name.servers) or 'no address'})"
