"""The policy as frozen values: Policy → Profile → Band, Rule → Condition; and the Facts that it judges.

Whoever builds these has checked them (``load``). ``as_document`` and ``from_document`` turn a policy into plain JSON
and back, for the way from the supervisor to its workers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

from blocklistd.errors import UsageError
from blocklistd.reputation.report import ConnectionType, FailMode, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
"""Mildest first."""

SEVERITY: Final[Mapping[Verdict, int]] = {verdict: number for number, verdict in enumerate(VERDICTS)}

LISTS: Final = ("flags", "country", "asn", "connection_type", "feeds", "categories")
"""The keys of a condition that hold lists; of each list any one must apply."""

DEFAULT: Final = "default"
"""The profile of a question that names none."""

SUPPRESSED_BY_DEFAULT: Final = ("own", "gateway", "resolvers", "bogons", "public_resolvers")
SUPPRESSED_BY_WISH: Final = ("cdn", "crawler", "relay")

MOST_SCORE: Final = 100


class Facts(NamedTuple):
    """What is known of an address: score 0 to 100, flags, ids of the feeds that name it and their categories."""

    score: int
    flags: Mapping[str, bool]
    feeds: tuple[str, ...] = ()
    categories: frozenset[str] = frozenset()
    country: str | None = None
    asn: int | None = None
    connection_type: ConnectionType = "unknown"


class Band(NamedTuple):
    """A stretch of scores, both ends belong to it, and its verdict."""

    first: int
    last: int
    verdict: Verdict

    def __str__(self) -> str:
        return f"band {self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be true: everything that is not empty, of each list any one, and none of ``unless``.

    Scores from ``score_from`` to ``score_below``, which is not in it.
    """

    flags: frozenset[str] = frozenset()
    country: frozenset[str] = frozenset()
    asn: frozenset[int] = frozenset()
    connection_type: frozenset[str] = frozenset()
    feeds: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    score_from: int = 0
    score_below: int = MOST_SCORE + 1
    unless: tuple[Condition, ...] = ()

    def holds(self, facts: Facts) -> bool:
        """Whether it is true of these facts. An unknown country or network is on no list."""
        if not self.score_from <= facts.score < self.score_below:
            return False
        if self.flags and not _any_raised(self.flags, facts.flags):
            return False
        if self.country and facts.country not in self.country:
            return False
        if self.asn and facts.asn not in self.asn:
            return False
        if self.connection_type and facts.connection_type not in self.connection_type:
            return False
        if self.feeds and self.feeds.isdisjoint(facts.feeds):
            return False
        if self.categories and self.categories.isdisjoint(facts.categories):
            return False
        return not (self.unless and any(exception.holds(facts) for exception in self.unless))

    def all_feeds(self) -> frozenset[str]:
        """Every feed that is named, in exceptions too."""
        return self.feeds.union(*(exception.feeds for exception in self.unless))

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        lists = {name: sorted(getattr(self, name)) for name in LISTS}
        unless = [exception.as_document() for exception in self.unless]
        return {**lists, "score_from": self.score_from, "score_below": self.score_below, "unless": unless}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Condition:
        """Read what ``as_document`` gave."""
        return cls(
            **{name: frozenset(document[name]) for name in LISTS},
            score_from=document["score_from"],
            score_below=document["score_below"],
            unless=tuple(cls.from_document(exception) for exception in document["unless"]),
        )


def _any_raised(wanted: frozenset[str], flags: Mapping[str, bool]) -> bool:
    for flag in wanted:  # noqa: SIM110 - a generator costs more than the loop
        if flags.get(flag):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Rule:
    """A named condition and the bounds it sets to the band's verdict; equal bounds replace it."""

    name: str
    when: Condition
    mildest: Verdict = "allow"
    severest: Verdict = "block"

    def bound(self, verdict: Verdict) -> Verdict:
        """The verdict within the bounds of this rule."""
        if SEVERITY[verdict] < SEVERITY[self.mildest]:
            return self.mildest
        return self.severest if SEVERITY[verdict] > SEVERITY[self.severest] else verdict

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "when": self.when.as_document(),
            "mildest": self.mildest,
            "severest": self.severest,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Rule:
        """Read what ``as_document`` gave."""
        when = Condition.from_document(document["when"])
        return cls(document["name"], when, document["mildest"], document["severest"])


DEFAULT_BANDS: Final = (Band(0, 19, "allow"), Band(20, 44, "flag"), Band(45, 79, "challenge"), Band(80, 100, "block"))


@dataclass(frozen=True, slots=True)
class Profile:
    """How one kind of request is judged: the first rule that holds, else the band of the score.

    bands cover 0 to 100 without a gap, in rising order. shadow: judge and count, but answer ``allow``.
    """

    name: str
    bands: tuple[Band, ...] = DEFAULT_BANDS
    rules: tuple[Rule, ...] = ()
    fail: FailMode = "open"
    shadow: bool = False

    def band_of(self, score: int) -> Band:
        """The band that a score lies in; what is beyond the ends lies in the first or last."""
        for band in self.bands:
            if score <= band.last:
                return band
        return self.bands[-1]

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "bands": [list(band) for band in self.bands],
            "rules": [rule.as_document() for rule in self.rules],
            "fail": self.fail,
            "shadow": self.shadow,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Profile:
        """Read what ``as_document`` gave."""
        return cls(
            document["name"],
            tuple(Band(*band) for band in document["bands"]),
            tuple(map(Rule.from_document, document["rules"])),
            document["fail"],
            document["shadow"],
        )


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Which addresses are never acted against: names of sets, AS numbers, networks in CIDR notation."""

    sets: frozenset[str] = frozenset(SUPPRESSED_BY_DEFAULT)
    asns: frozenset[int] = frozenset()
    networks: tuple[str, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {"sets": sorted(self.sets), "asns": sorted(self.asns), "networks": list(self.networks)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Suppressed:
        """Read what ``as_document`` gave."""
        return cls(frozenset(document["sets"]), frozenset(document["asns"]), tuple(document["networks"]))


@dataclass(frozen=True, slots=True)
class DecisionLogging:
    """Whether and how decisions are logged. retention: seconds; max_bytes: of all files together."""

    enabled: bool = False
    whole_addresses: bool = False
    retention: int = 30 * 86400
    max_bytes: int = 256 * 2**20

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Policy:
    """All profiles by name, ``default`` among them; what is suppressed; how decisions are logged."""

    profiles: Mapping[str, Profile]
    suppress: Suppressed = field(default_factory=Suppressed)
    decision_log: DecisionLogging = field(default_factory=DecisionLogging)

    def profile(self, name: str) -> Profile:
        """One profile. Raises UsageError that names those there are."""
        try:
            return self.profiles[name]
        except KeyError:
            known = ", ".join(self.profiles)
            raise UsageError(f"There is no profile {name[:64]!r}; there are {known}.") from None

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "profiles": [profile.as_document() for profile in self.profiles.values()],
            "suppress": self.suppress.as_document(),
            "decision_log": self.decision_log.as_document(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Policy:
        """Read what ``as_document`` gave; KeyError or TypeError for anything else."""
        return cls(
            {row["name"]: Profile.from_document(row) for row in document["profiles"]},
            Suppressed.from_document(document["suppress"]),
            DecisionLogging(**document["decision_log"]),
        )
