"""E-mail addresses and domains → their reports: who names them, how bad, why, and what to do.

    text ─ MailAddress ─ listings ─┬─ Score ─ Policy ─ MailReport
              MailServers ─ signals┘

``MailAssessor`` shares snapshot, weights, policy and the operator's word about feeds with the ``Assessor`` of IP
addresses, and asks it about mail servers. What lists do not say, *signals* do: they are claims like those of lists,
with weights of their own (``WEIGHTS``, argued in docs/mail.md). Pure but for the files of the snapshot.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from blocklistd.addresses import format_address
from blocklistd.errors import SnapshotCorrupt, StorageFailed
from blocklistd.index.seen import ON_LIST, Sighted
from blocklistd.reputation.flags import flags_of
from blocklistd.reputation.mail_report import DomainReport, MailReport, NameEvidence, NameReport, Server, Signal
from blocklistd.reputation.mail_signals import (
    WEIGHTS,
    dns_signals,
    domain_signals,
    listing_words,
    remarks,
    server_words,
    text_signals,
)
from blocklistd.reputation.policy import Condition, Facts, decide
from blocklistd.reputation.score import Claim, score

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blocklistd.reputation.assess import Assessor
    from blocklistd.reputation.mail_address import DomainName, MailAddress
    from blocklistd.reputation.mail_servers import MailServers
    from blocklistd.reputation.policy import Policy, Profile, Rule
    from blocklistd.reputation.report import Evidence

RISK: Final = "mail"
"""The category of signals: any that is not harmless."""
DISPOSABLE: Final = "disposable"
FREE: Final = "free_mail"
NEVER: Final = Condition(score_from=101)
MOST_DOMAINS: Final = 10_000
"""Domains whose listings are kept."""


class _Named(NamedTuple):
    """By which name a feed names an address or domain, and since when."""

    name: str
    seen: Sighted


class _Case(NamedTuple):
    """What there is to judge.

    named: by feed; signals: signal → reason; role: None for a domain,
    which has no such flag; dns: the answer, where asked; addresses: of mail servers.
    """

    named: Mapping[str, _Named]
    signals: Mapping[str, str]
    dns: MailServers | None
    asked: bool
    addresses: tuple[str, ...]
    role: bool | None = None
    remarks: tuple[str, ...] = ()


class MailAssessor:
    """Reports from what an assessor has. Not for several threads at once."""

    def __init__(self, assessor: Assessor) -> None:
        """Opens what it needs of the snapshot. Raises StorageFailed where the key of the digests cannot be read."""
        self.assessor = assessor
        self._snapshot = assessor.snapshot
        self._records = {record.id: record for record in self._snapshot.feeds}
        self._positions = {record.id: position for position, record in enumerate(self._snapshot.feeds)}
        self._domains: dict[str, Mapping[str, _Named]] = {}
        self._secret = self._read_secret()
        for record in self._snapshot.feeds:
            if record.kind in {"domain", "email"}:
                with suppress(SnapshotCorrupt, StorageFailed):  # the question that needs it says so
                    self._snapshot.seen_section(record.id)
        self._policy = fit_for_mail(assessor.policy)

    def mail(
        self, address: MailAddress, profile: str, servers: MailServers | None, *, asked: bool = False
    ) -> MailReport:
        """The report on an address; servers: what DNS says, where asked. Raises UsageError (no such profile)."""
        named: dict[str, _Named] = {}
        for form in address.forms if self._secret is not None else ():
            for feed in self._snapshot.mail(form, self._secret).feeds:
                if feed not in named:
                    named[feed] = self._named(feed, form)
        signals = text_signals(address)
        if address.domain is not None:
            named = {**self._naming(address.domain), **named}
            if address.problem is None:
                signals |= dns_signals(address.domain, servers)
        addresses = servers.addresses if servers else ()
        if address.literal is not None:
            addresses = (format_address(*address.literal),)
        case = _Case(named, signals, servers, asked, addresses, address.role, tuple(remarks(address)))
        return MailReport(address, self._judge(profile, case))

    def domain(
        self, domain: DomainName, profile: str, servers: MailServers | None, *, asked: bool = False
    ) -> DomainReport:
        """The report on a domain. Raises UsageError (no such profile)."""
        signals = domain_signals(domain) | dns_signals(domain, servers)
        case = _Case(self._naming(domain), signals, servers, asked, servers.addresses if servers else ())
        return DomainReport(domain, self._snapshot.domain(domain.name).feeds, self._judge(profile, case))

    def _read_secret(self) -> bytes | None:
        """The key of the digests; None where no list of addresses is there, so that there is nothing to look up."""
        if not any(record.kind == "email" for record in self._snapshot.feeds):
            return None
        try:
            return (self._snapshot.folder / "secret").read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise StorageFailed(f"the key of the mail digests (secret) cannot be read: {reason}") from error

    def _naming(self, domain: DomainName) -> Mapping[str, _Named]:
        """The feeds that name a domain or, but for free mail, one above it that somebody registered."""
        if (known := self._domains.get(domain.name)) is not None:
            return known
        named: dict[str, _Named] = {}
        for name in (domain.name, *domain.parents):
            own = name == domain.name  # the wildcards above it are those above its parents, too
            for feed in self._snapshot.domain(name, wildcards=own).feeds:
                if feed not in named and (own or self._records[feed].category != FREE):
                    named[feed] = self._named(feed, name)
        if len(self._domains) >= MOST_DOMAINS:
            self._domains.clear()
        self._domains[domain.name] = named
        return named

    def _named(self, feed: str, name: str) -> _Named:
        seen = self._snapshot.name_seen(feed, name, self._secret)
        return _Named(name, seen if seen is not None else Sighted(int(self._records[feed].first_seen), ON_LIST, True))

    def _judge(self, profile: str, case: _Case) -> NameReport:
        self.assessor.renew()
        judge = self._policy.profile(profile)
        weights = {signal: WEIGHTS[signal] * 100 for signal in case.signals}
        reasons = dict(case.signals)
        reports = [self.assessor.report(ip) for ip in case.addresses]
        worst = max(reports, key=lambda report: report.score, default=None)
        if worst is not None and worst.score:
            reasons["server_listed"] = server_words(worst)
            weights["server_listed"] = WEIGHTS["server_listed"] * worst.score
        rows, claims = self._weigh(case.named)
        signs = [Claim(RISK, weight, frozenset({f"signal {signal}"})) for signal, weight in weights.items()]
        total, shares = score([*claims, *signs])
        listings = tuple(row._replace(contribution=share) for row, share in zip(rows, shares, strict=False))
        counted = [row for row, claim in zip(rows, claims, strict=True) if claim.category is not None]
        categories = frozenset(row.category for row in counted)
        usual = flags_of(categories)
        flags = {
            "disposable": DISPOSABLE in categories,
            "free": FREE in categories,
            **({} if case.role is None else {"role": case.role}),
            "suspicious_tld": "suspicious_tld" in reasons,
            **{flag: usual[flag] for flag in ("attacker", "bot", "spam", "malware")},
        }
        return NameReport(
            listed=bool(categories - {FREE}),
            score=total,
            decision=decide(judge, Facts(total, flags, tuple(row.feed for row in counted), categories)),
            flags=flags,
            listings=listings,
            signals=tuple(map(Signal, weights, shares[len(rows) :])),
            reasons=(*map(listing_words, listings), *reasons.values(), *case.remarks),
            dns=case.dns,
            dns_asked=case.asked,
            servers=tuple(Server(report.ip, report.score, _feeds(report.listings)) for report in reports),
            snapshot=self.assessor.about,
        )

    def _weigh(self, named: Mapping[str, _Named]) -> tuple[list[NameEvidence], list[Claim]]:
        """A row and a claim for each feed, in catalogue order."""
        rows, claims = [], []
        for feed in sorted(named, key=self._positions.__getitem__):
            record, (name, (first, last, current)) = self._records[feed], named[feed]
            claims.append(self.assessor.claim(record.id, None if current else last))
            last_seen = self.assessor.confirmed(record.id) if last == ON_LIST else float(last)
            category = record.category or ""
            rows.append(
                NameEvidence(record.id, record.title, category, record.provider, name, first, last_seen, current, 0)
            )
        return rows, claims


def fit_for_mail(policy: Policy) -> Policy:
    """The policy without the rules that ask where somebody connects from: nobody connects from an e-mail address.

    The others keep their numbers.
    """
    return replace(policy, profiles={name: _fit_profile(profile) for name, profile in policy.profiles.items()})


def _fit_profile(profile: Profile) -> Profile:
    return replace(profile, rules=tuple(map(_fit_rule, profile.rules)))


def _fit_rule(rule: Rule) -> Rule:
    return replace(rule, when=NEVER) if _asks_origin(rule.when) else rule


def _asks_origin(condition: Condition) -> bool:
    return bool(condition.country or condition.asn or condition.connection_type) or any(
        map(_asks_origin, condition.unless)
    )


def _feeds(listings: Iterable[Evidence]) -> tuple[str, ...]:
    return tuple(row.feed for row in listings)
