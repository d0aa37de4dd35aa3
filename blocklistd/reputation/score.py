"""How bad: the lists that name somebody → a score from 0 to 100 and the share of each. Pure.

Takes one ``Claim`` a list, in catalogue order, gives a ``Score``. A weight is how sure an entry on that list alone
makes us; claims of independent lists are independent reasons, so what is left of the doubt is multiplied:

    100 · (1 - (1 - w₁/100) · (1 - w₂/100) · …)

Lists copied from one another are no independent reasons. Each claim names the *evidence* it rests on: its group (or
itself), and whatever a composite is made of. Of all selections in which no evidence is used twice, the one with the
highest score counts. A choice of the best, unlike a rule such as "the largest of a cluster", has the law that one more
claim never lowers a score. The model, with an example, is in docs/scoring.md.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HARMLESS: Final = frozenset({"relay", "crawler", "cdn", "bogon", "free_mail", None})
"""Categories that are no risk by themselves: their entries never raise a score, whatever their weight."""
SOFTENING: Final = frozenset({"relay", "crawler"})
"""An address on such a list is known to be shared or known to be good …"""
SOFTENED: Final = frozenset({"vpn", "hosting"})
"""… so that being in a data centre or behind a tunnel says nothing more."""

CERTAIN: Final = 10_000
"""Effective weights are in hundredths of a percent."""
MOST: Final = CERTAIN - 1
"""No list is beyond doubt: a weight of 100 counts as 99.99, so that every doubt can be compared."""

MOST_COMPOSITES: Final = 48
MOST_STEPS: Final = 2_000
"""Of composites that are made of one another's lists, up to so many, within so many steps, the exact best selection is
found; beyond, the strongest first, which may come out lower."""


class Claim(NamedTuple):
    """One list that names somebody. weight: effective, in hundredths of a percent; evidence: from ``evidence_of``."""

    category: str | None
    weight: int
    evidence: frozenset[str]


class Score(NamedTuple):
    """total: 0 to 100; contributions: the share of each claim, in the order given. They add up to the total."""

    total: int
    contributions: tuple[int, ...]


class Related(Protocol):
    """What of a feed says from where its entries come: a ``Feed`` or a ``FeedRecord``."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def group(self) -> str | None:
        """The lists it shares its entries with."""
        ...

    @property
    def includes(self) -> tuple[str, ...]:
        """The feeds it is made of."""
        ...


def evidence_of(feeds: Iterable[Related]) -> dict[str, frozenset[str]]:
    """By feed, what its entries rest on: its own group or id, and that of all it includes, directly or not."""
    by_id = {feed.id: feed for feed in feeds}
    found = {}
    for feed_id in by_id:
        reached, ahead = {feed_id}, [feed_id]
        while ahead:
            known = by_id.get(ahead.pop())
            fresh = set(known.includes) - reached if known else set()
            reached |= fresh
            ahead += fresh
        found[feed_id] = frozenset(_origin(by_id.get(one), one) for one in reached)
    return found


def _origin(feed: Related | None, feed_id: str) -> str:
    return f"group {feed.group}" if feed and feed.group else feed_id


def effective_weight(
    weight: int, *, gone: float = 0, keep: float = 0, age: float = 0, stale_after: float = 1, drop_after: float = 2
) -> int:
    """A weight of 0 to 100 after fading, in hundredths of a percent.

    gone: seconds since the entry left its list, which counts it for ``keep`` seconds more; age: seconds since the
    last good fetch of the list, which counts in full until ``stale_after`` and not at all from ``drop_after`` on.
    """
    part = float(weight * CERTAIN // 100)
    if gone > 0:
        part *= max(0.0, 1 - gone / keep) if keep > 0 else 0.0
    if age > stale_after:
        part *= max(0.0, (drop_after - age) / (drop_after - stale_after)) if drop_after > stale_after else 0.0
    return int(part)


def score(claims: Sequence[Claim]) -> Score:
    """Weigh claims together."""
    softened = any(claim.category in SOFTENING for claim in claims)
    counted = [
        index
        for index, claim in enumerate(claims)
        if claim.weight > 0 and claim.category not in HARMLESS and not (softened and claim.category in SOFTENED)
    ]
    contributions = [0] * len(claims)
    doubt, scale, total = 1, 1, 0
    for index in sorted(_strongest(claims, counted), key=lambda index: (-claims[index].weight, index)):
        doubt *= CERTAIN - min(claims[index].weight, MOST)
        scale *= CERTAIN
        now = (200 * (scale - doubt) + scale) // (2 * scale)  # 100 · (1 - doubt), halves rounded up
        contributions[index], total = now - total, now
    return Score(total, tuple(contributions))


def _strongest(claims: Sequence[Claim], counted: Sequence[int]) -> list[int]:
    """The selection with the highest score in which no evidence is used twice.

    Starts with the strongest claim on each single piece of evidence. Taking in a composite instead of the claims on
    its parts changes the doubt by a factor that no other composite of the selection alters, since no two share a
    part. So what is looked for is the conflict-free choice of composites with the largest product of gains.
    """
    singles: dict[str, int] = {}
    composites = []
    for index in sorted(counted, key=lambda index: (-claims[index].weight, index)):
        if len(claims[index].evidence) == 1:
            singles.setdefault(next(iter(claims[index].evidence)), index)
        else:
            composites.append(index)
    if not composites:
        return list(singles.values())
    gains = {index: _gain(claims, index, singles) for index in composites}
    chosen = _best_choice({index: gain for index, gain in gains.items() if gain > 1}, claims)
    used = frozenset[str]().union(*(claims[index].evidence for index in chosen))
    return chosen + [index for part, index in singles.items() if part not in used]


def _gain(claims: Sequence[Claim], composite: int, singles: Mapping[str, int]) -> Fraction:
    """How many times less doubt is left with a composite than with the claims on its parts."""
    gain = Fraction(CERTAIN, CERTAIN - min(claims[composite].weight, MOST))
    for part in claims[composite].evidence:
        if part in singles:
            gain *= Fraction(CERTAIN - min(claims[singles[part]].weight, MOST), CERTAIN)
    return gain


def _best_choice(gains: Mapping[int, Fraction], claims: Sequence[Claim]) -> list[int]:
    """The conflict-free composites with the largest product of gains."""
    ordered = sorted(gains, key=lambda index: (-gains[index], index))
    rivals = [
        sum(
            1 << other
            for other, rival in enumerate(ordered)
            if rival != index and not claims[index].evidence.isdisjoint(claims[rival].evidence)
        )
        for index in ordered
    ]
    chosen: list[int] = []
    waiting = (1 << len(ordered)) - 1
    while waiting:
        cluster = _cluster(waiting, rivals)
        waiting &= ~cluster
        chosen += [ordered[bit] for bit in _Choice([gains[index] for index in ordered], rivals).best(cluster)]
    return chosen


def _cluster(waiting: int, rivals: Sequence[int]) -> int:
    """The first composite that waits, its rivals, theirs, and so on: a set of bits."""
    cluster = ahead = waiting & -waiting
    while ahead:
        bit = ahead & -ahead
        fresh = rivals[bit.bit_length() - 1] & waiting & ~cluster
        cluster |= fresh
        ahead = ahead & ~bit | fresh
    return cluster


class _Choice:
    """Exhaustive search in one cluster, strongest first; sets of composites are the bits of a number."""

    def __init__(self, gains: Sequence[Fraction], rivals: Sequence[int]) -> None:
        self._gains, self._rivals = gains, rivals
        self._known: dict[int, tuple[Fraction, int]] = {0: (Fraction(1), 0)}
        self._steps = 0

    def best(self, cluster: int) -> list[int]:
        """The numbers of the best composites among ``cluster``, ascending."""
        if cluster.bit_count() > MOST_COMPOSITES:
            self._steps = MOST_STEPS
        chosen = self._search(cluster)[1] if self._steps < MOST_STEPS else self._strongest_first(cluster)[1]
        return [number for number in range(chosen.bit_length()) if chosen >> number & 1]

    def _search(self, cluster: int) -> tuple[Fraction, int]:
        """Product of gains and members of the best choice."""
        if cluster in self._known:
            return self._known[cluster]
        self._steps += 1
        if self._steps >= MOST_STEPS:
            return self._strongest_first(cluster)
        bit = cluster & -cluster
        number = bit.bit_length() - 1
        gain, members = self._search(cluster & ~bit & ~self._rivals[number])
        found = gain * self._gains[number], members | bit
        if self._rivals[number] & cluster:
            without = self._search(cluster & ~bit)
            found = max(found, without, key=lambda choice: choice[0])
        self._known[cluster] = found
        return found

    def _strongest_first(self, cluster: int) -> tuple[Fraction, int]:
        gain, members = Fraction(1), 0
        while cluster:
            bit = cluster & -cluster
            number = bit.bit_length() - 1
            gain, members = gain * self._gains[number], members | bit
            cluster &= ~bit & ~self._rivals[number]
        return gain, members
