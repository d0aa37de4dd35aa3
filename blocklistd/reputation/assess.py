"""A question → its report: joins what the lists say with origin, overrides, suppression and policy.

    Snapshot.lookup ─ Sightings ─ Score ─┬─ Override   the operator's word
                             Origin ─────┤─ Suppression   never act against oneself
                                         └─ Policy   bands and rules

Takes an address and the name of a profile, gives an ``IpReport``. The order of effects: feeds that the operator has
taken out stay among the listings and contribute nothing; an override decides before a suppression, and that before the
policy. What depends on the feed set, on the minute or on the second alone is made once for it and kept.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from blocklistd.addresses import embedded_ipv4, format_address
from blocklistd.index.snapshot import address_of
from blocklistd.reputation.flags import flags_of
from blocklistd.reputation.policy import DEFAULT, Facts, decide, settle
from blocklistd.reputation.report import Evidence, IpReport
from blocklistd.reputation.score import HARMLESS, SOFTENING, Claim, effective_weight, evidence_of, score
from blocklistd.units import format_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from blocklistd.collect.state import FeedState
    from blocklistd.index import Snapshot
    from blocklistd.index.record import FeedRecord
    from blocklistd.index.sightings import Sighting
    from blocklistd.index.snapshot import Question
    from blocklistd.reputation.origin import Origins
    from blocklistd.reputation.overrides import Overrides
    from blocklistd.reputation.policy import Policy, Profile
    from blocklistd.reputation.report import Decision, Origin
    from blocklistd.reputation.suppression import Suppression
    from blocklistd.state.overrides import Override

TURN: Final = 60.0
"""Weights fade in steps of so many seconds, so that addresses on the same lists share one score."""
MOST_SETS: Final = 20_000
"""Feed sets whose score is kept; real snapshots have some five thousand."""


class _FeedSet(NamedTuple):
    """What depends on the feeds alone.

    feeds: those that have an effect; categories: theirs; named_by: category → the first of them, or of the relay and
    crawler lists, whose softening word holds however old they are; contributions: in the order of all feeds, as long as
    none of the entries has left its list.
    """

    feeds: tuple[str, ...]
    categories: frozenset[str]
    named_by: Mapping[str, str]
    softened: bool
    total: int
    contributions: tuple[int, ...]


class Assessor:
    """Reports from one snapshot. Not for several threads at once."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        origins: Origins,
        overrides: Overrides,
        suppression: Suppression,
        policy: Policy,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """clock: unix time."""
        self.snapshot, self.policy = snapshot, policy
        self._origins, self._overrides, self._suppression, self._clock = origins, overrides, suppression, clock
        self._records = {record.id: record for record in snapshot.feeds}
        self._positions = {record.id: position for position, record in enumerate(snapshot.feeds)}
        self._evidence = evidence_of(snapshot.feeds)
        self._confirmed = {record.id: record.fetched_at for record in snapshot.feeds}
        self._without = overrides.without
        self._turned, self._second = float("-inf"), -1
        self._weights: dict[str, int] = {}
        self._dropped: frozenset[str] = frozenset()
        self._stale: tuple[str, ...] = ()
        self._sets: dict[tuple[str, ...], _FeedSet] = {}
        self._faded: dict[tuple[tuple[str, ...], tuple[int, ...]], tuple[int, tuple[int, ...]]] = {}
        self._about: Mapping[str, Any] = {}

    def confirm(self, states: Mapping[str, FeedState], *, pinned: bool = False) -> None:
        """Take over when feeds were last fetched well, by id: an unchanged list is confirmed without a new snapshot.

        Of a list that has changed since, its last good fetch before that counts; pinned: not even that, since an older
        snapshot is held fast, and the list may have changed many times.
        """
        for feed, state in states.items():
            if (record := self._records.get(feed)) is None:
                continue
            unchanged = state.changed_at <= record.changed_at
            at = state.succeeded_at if unchanged else 0.0 if pinned else state.confirmed_at
            self._confirmed[feed] = max(self._confirmed[feed], at)
        self._turned = float("-inf")

    def renew(self) -> None:
        """Bring up to date what the three below say."""
        self._turn(self._clock())

    @property
    def about(self) -> Mapping[str, Any]:
        """The snapshot: id, built_at, age and stale feeds."""
        return self._about

    def confirmed(self, feed: str) -> float:
        """When what the snapshot holds of a feed was last fetched well, unix time."""
        return self._confirmed[feed]

    def claim(self, feed: str, left_at: float | None = None) -> Claim:
        """What the word of one feed weighs: nothing where the operator has taken it out or it is older than drop_after.

        left_at: when the entry left its list, which its ``keep`` window still counts; unix time.
        """
        record = self._records[feed]
        if feed in self._without or feed in self._dropped:
            return Claim(None, 0, self._evidence[feed])
        gone = 0.0 if left_at is None else max(0.0, self._turned - left_at)
        return Claim(record.category, self._weight(record, gone), self._evidence[feed])

    def report(self, question: Question, profile: str = DEFAULT) -> IpReport:
        """Everything known of one address, and what follows. Raises BadAddress, UsageError (no such profile)."""
        judge = self.policy.profile(profile)
        family, value = address_of(question)
        now = self._clock()
        self._turn(now)
        ip = format_address(family, value)
        feeds = self.snapshot.lookup(ip).feeds
        sightings = self.snapshot.witnesses.of(family, value, feeds) if feeds else []
        inner = embedded_ipv4(value) if family == 6 else None
        if inner is not None:
            sightings = self._with_embedded(sightings, inner)
            feeds = tuple([sighting.record.id for sighting in sightings])
        known = self._sets.get(feeds) or self._make_set(feeds)
        total, contributions = self._weigh(feeds, sightings, known)
        where = (4, inner) if inner is not None else (family, value)
        origin = self._origins.origin(*where, known.named_by)
        override = self._overrides.find(family, value) if inner is not None else None  # ASN and country are the inner's
        override = override or self._overrides.find(*where, origin.asn, origin.country)
        suppressed = self._suppression.reason(family, value, origin.asn, known.named_by)
        if inner is not None:
            suppressed = suppressed or self._suppression.reason(4, inner, origin.asn, known.named_by)
        allowed = override is not None and override.action == "allow"
        if override is not None and not allowed:
            suppressed = None  # the operator's deny is stronger
        flags = flags_of(
            known.categories,
            bogon=self._suppression.is_bogon(family, value),  # what is embedded is never special space
            softened=allowed or known.softened,
        )
        effective, decision = self._decide(judge, total, known, flags, origin, override, suppressed)
        return IpReport(
            ip=ip,
            listed=effective > 0 or (bool(known.feeds) and not allowed and suppressed is None),
            score=effective,
            listed_score=total,
            decision=decision,
            flags=flags,
            listings=self._listings(sightings, contributions),
            origin=origin,
            suppressed_by=suppressed,
            override=None if override is None else override.as_document(),
            embedded_ipv4=None if inner is None else format_address(4, inner),
            snapshot=self._about,
        )

    def _decide(
        self,
        judge: Profile,
        total: int,
        known: _FeedSet,
        flags: Mapping[str, bool],
        origin: Origin,
        override: Override | None,
        suppressed: str | None,
    ) -> tuple[int, Decision]:
        """The effective score and what to do."""
        if override is not None:
            allowed = override.action == "allow"
            return 0 if allowed else 100, settle(judge, "allow" if allowed else "block", f"override {override.key}")
        if suppressed is not None:
            return 0, settle(judge, "allow", f"suppressed: {suppressed}")
        facts = Facts(total, flags, known.feeds, known.categories, origin.country, origin.asn, origin.connection_type)
        return total, decide(judge, facts)

    def _listings(self, sightings: Sequence[Sighting], contributions: Sequence[int]) -> tuple[Evidence, ...]:
        confirmed, make = self._confirmed, tuple.__new__  # what calling Evidence comes to, less a call
        found = []
        for sighting, share in zip(sightings, contributions, strict=True):
            record, network, first_seen, last_seen, current, on_list = sighting
            feed = record.id
            last = confirmed[feed] if on_list else last_seen
            described = feed, record.title, record.category or "", record.provider
            found.append(make(Evidence, (*described, network, first_seen, last, current, share)))
        return tuple(found)

    def _with_embedded(self, sightings: list[Sighting], inner: int) -> list[Sighting]:
        """Together with those of the IPv4 address inside, one a feed, in catalogue order."""
        feeds = self.snapshot.lookup(format_address(4, inner)).feeds
        named = {sighting.record.id: sighting for sighting in self.snapshot.witnesses.of(4, inner, feeds)}
        named |= {sighting.record.id: sighting for sighting in sightings}
        return [named[feed] for feed in sorted(named, key=self._positions.__getitem__)]

    def _weigh(
        self, feeds: tuple[str, ...], sightings: Sequence[Sighting], known: _FeedSet
    ) -> tuple[int, tuple[int, ...]]:
        """Score and contributions, less what has left its list and fades."""
        for sighting in sightings:
            if not sighting.current:
                break
        else:
            return known.total, known.contributions
        weights = tuple(
            [
                self._weights[feed]
                if sighting.current
                else self._weight(sighting.record, self._turned - sighting.last_seen)
                for feed, sighting in zip(feeds, sightings, strict=True)
            ]
        )
        found = self._faded.get((feeds, weights))
        if found is None:
            if len(self._faded) >= MOST_SETS:
                self._faded.clear()
            found = self._faded[feeds, weights] = self._score(feeds, weights)
        return found

    def _score(self, feeds: Sequence[str], weights: Sequence[int]) -> tuple[int, tuple[int, ...]]:
        """Weigh all feeds but those the operator has taken out; these contribute 0."""
        records, without = self._records, self._without
        counted = [number for number, feed in enumerate(feeds) if feed not in without]
        claims = [
            Claim(records[feeds[number]].category, weights[number], self._evidence[feeds[number]]) for number in counted
        ]
        total, shares = score(claims)
        contributions = [0] * len(feeds)
        for number, share in zip(counted, shares, strict=True):
            contributions[number] = share
        return total, tuple(contributions)

    def _make_set(self, feeds: tuple[str, ...]) -> _FeedSet:
        records = self._records
        counted = tuple(feed for feed in feeds if feed not in self._without and feed not in self._dropped)
        categories = frozenset({category for feed in counted if (category := records[feed].category) is not None})
        named_by: dict[str, str] = {}
        for feed in feeds:
            category = records[feed].category
            if category is not None and (feed in counted or (category in SOFTENING and feed not in self._without)):
                named_by.setdefault(category, feed)
        softened = not SOFTENING.isdisjoint(named_by)
        total, contributions = self._score(feeds, [self._weights[feed] for feed in feeds])
        known = _FeedSet(counted, categories, named_by, softened, total, contributions)
        if len(self._sets) >= MOST_SETS:
            self._sets.clear()
        self._sets[feeds] = known
        return known

    def _turn(self, now: float) -> None:
        """Make anew what a new second, a new minute or a change among the overrides has made old."""
        if self._overrides.without != self._without or not 0 <= now - self._turned < TURN:
            self._without = self._overrides.without
            self._turned, self._second = now, -1
            self._weights = {feed: self._weight(record, 0) for feed, record in self._records.items()}
            self._dropped = frozenset(
                feed for feed, record in self._records.items() if self._age(record) >= record.drop_after
            )
            self._stale = tuple(
                feed for feed, record in self._records.items() if self._age(record) > record.stale_after
            )
            self._sets.clear()
            self._faded.clear()
        if int(now) != self._second:
            self._second = int(now)
            built_at = self.snapshot.built_at
            self._about = {
                "id": self.snapshot.id,
                "built_at": format_moment(built_at),
                "age_seconds": max(0, round(now - built_at)),
                "stale_feeds": list(self._stale),
            }

    def _age(self, record: FeedRecord) -> float:
        return self._turned - self._confirmed[record.id]

    def _weight(self, record: FeedRecord, gone: float) -> int:
        if record.category in HARMLESS:
            return 0
        return effective_weight(
            record.weight,
            gone=gone,
            keep=record.keep,
            age=self._age(record),
            stale_after=record.stale_after,
            drop_after=record.drop_after,
        )
