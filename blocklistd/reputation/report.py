"""The frozen types of judging: Evidence and Origin → Score → Decision → IpReport.

Nothing here does any work but writing itself as the JSON object of ``GET /v1/report/{ip}``. Times are unix seconds, 0
where unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from blocklistd.units import format_moment

if TYPE_CHECKING:
    from collections.abc import Mapping

Verdict = Literal["allow", "flag", "challenge", "block"]
ConnectionType = Literal["hosting", "residential", "mobile", "business", "education", "government", "unknown"]
FailMode = Literal["open", "closed"]

FLAGS: Final = (
    *("tor", "vpn", "proxy", "residential_proxy", "relay", "attacker", "bot", "spam", "malware", "hosting"),
    *("crawler", "anonymous", "bogon"),
)
"""Every flag of a report, in the order in which it is shown."""


class Evidence(NamedTuple):
    """One feed that names an address.

    network: the most exact one, as the list wrote it; current: False where the feed has dropped it and its ``keep``
    window still counts it; contribution: its share of ``listed_score``, 0 to 100.
    """

    feed: str
    title: str
    category: str
    provider: str | None
    network: str
    first_seen: float
    last_seen: float
    current: bool
    contribution: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an address belongs; None where no source of ours knows. connection_reason: why, in words."""

    asn: int | None = None
    name: str | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    accuracy_km: int | None = None
    connection_type: ConnectionType = "unknown"
    connection_reason: str = ""

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "asn": self.asn,
            "name": self.name,
            "country": self.country,
            "region": self.region,
            "city": self.city,
            "latitude": self.latitude,
            "longitude": self.longitude,
            "accuracy_km": self.accuracy_km,
            "connection_type": self.connection_type,
            "connection_reason": self.connection_reason,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do.

    would: the verdict without shadow mode, None where the profile is in force; fail: what a caller who gets no answer
    is to do.
    """

    verdict: Verdict
    profile: str
    decided_by: str
    fail: FailMode = "open"
    would: Verdict | None = None


@dataclass(frozen=True, slots=True)
class IpReport:
    """Everything known of one address, and what follows from it.

    listed_score is the raw sum of the contributions, score the effective one: 0 where allowed or suppressed, 100 where
    denied. override: the operator's entry that applies, as shown; snapshot: id, built_at, age and stale feeds.
    """

    ip: str
    listed: bool
    score: int
    listed_score: int
    decision: Decision
    flags: Mapping[str, bool]
    listings: tuple[Evidence, ...]
    origin: Origin
    suppressed_by: str | None
    override: Mapping[str, Any] | None
    embedded_ipv4: str | None
    snapshot: Mapping[str, Any]

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        decision = self.decision
        return {
            "ip": self.ip,
            "listed": self.listed,
            "score": self.score,
            "listed_score": self.listed_score,
            "verdict": decision.verdict,
            "profile": decision.profile,
            "decided_by": decision.decided_by,
            "fail": decision.fail,
            "would": decision.would,
            "flags": dict(self.flags),
            "listings": [
                {
                    "feed": feed,
                    "title": title,
                    "category": category,
                    "provider": provider,
                    "network": network,
                    "first_seen": format_moment(first),
                    "last_seen": format_moment(last),
                    "current": current,
                    "contribution": share,
                }
                for feed, title, category, provider, network, first, last, current, share in self.listings
            ],
            "origin": self.origin.as_document(),
            "suppressed_by": self.suppressed_by,
            "override": self.override,
            "embedded_ipv4": self.embedded_ipv4,
            "snapshot": self.snapshot,
        }
