"""What speaks against an address or domain though no list says so, and what is merely worth knowing. Pure.

Takes what text and DNS say, gives signals with their reasons in words. Weights are argued in docs/mail.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from blocklistd.units import format_moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from blocklistd.reputation.mail_address import DomainName, MailAddress
    from blocklistd.reputation.mail_report import NameEvidence
    from blocklistd.reputation.mail_servers import MailServers
    from blocklistd.reputation.report import IpReport

WEIGHTS: Final[Mapping[str, int]] = {
    "invalid": 100,
    "no_such_domain": 90,
    "takes_no_mail": 90,
    "address_literal": 50,
    "not_public": 30,
    "suspicious_tld": 10,
    "server_listed": 50,
}
"""Signal → weight; that of ``server_listed`` is the share of the worst server's own score."""


def text_signals(address: MailAddress) -> dict[str, str]:
    """Signal → reason: what the text alone says."""
    found = {}
    if address.problem is not None:
        found["invalid"] = f"It is no address that mail could go to: {address.problem}"
    if address.literal is not None:
        found["address_literal"] = "It names a mail server by its IP address, which hardly anybody's address does."
    return found if address.domain is None else found | domain_signals(address.domain)


def domain_signals(domain: DomainName) -> dict[str, str]:
    """Signal → reason: what the name alone says."""
    found = {}
    if not domain.public:
        found["not_public"] = f"{domain.written} is below no known top-level domain, so no mail from outside arrives."
    if domain.cheap is not None:
        tld = domain.written.rpartition(".")[2]
        found["suspicious_tld"] = f"Names in .{tld} {domain.cheap}: throwaway addresses are made of them."
    return found


def dns_signals(domain: DomainName, servers: MailServers | None) -> dict[str, str]:
    """Signal → reason: what DNS says, nothing where it was not asked or did not answer."""
    if servers is None:
        return {}
    if not servers.exists:
        return {"no_such_domain": f"{domain.written} does not exist in DNS."}
    if servers.refuses:
        return {"takes_no_mail": f"{domain.written} says in DNS that it takes no mail (RFC 7505)."}
    if servers.takes_mail is False:
        return {"takes_no_mail": f"{domain.written} has no mail server in DNS that has an address."}
    return {}


def remarks(address: MailAddress) -> Iterator[str]:
    """What is worth knowing and weighs nothing."""
    if address.role:
        yield "It is the address of a role, which several people or none may read."
    if address.subaddress:
        yield "What follows the plus is most likely a label; without it mail would arrive all the same."
    if address.quoted:
        yield "The quoted local part is allowed and unusual: many systems cannot send mail there."
    if address.local_part is not None and not address.local_part.isascii():
        yield "The local part is not ASCII: systems without SMTPUTF8 cannot send mail there."


def listing_words(row: NameEvidence) -> str:
    """One list, in a sentence."""
    since = (format_moment(row.first_seen) or "").partition("T")[0]
    when = f" since {since}" if since else ""
    gone = "" if row.current else ", but has dropped it"
    what = "the address" if "@" in row.name else row.name
    kind = "a free provider" if row.category == "free_mail" else row.category
    return f"{row.title} names {what}{f' as {kind}' if kind else ''}{when}{gone}."


def server_words(worst: IpReport) -> str:
    """The worst mail server, in a sentence."""
    feeds = ", ".join(row.feed for row in worst.listings)
    return f"Its mail server {worst.ip} is listed itself, score {worst.score} ({feeds or worst.decision.decided_by})."
