"""The laws of the score, and an exhaustive oracle for which claims count together."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocklistd.catalogue import load_catalogue
from blocklistd.reputation.flags import flags_of
from blocklistd.reputation.report import FLAGS
from blocklistd.reputation.score import HARMLESS, SOFTENED, Claim, effective_weight, evidence_of, score
from blocklistd.settings import SHIPPED_CATALOGUE

RISKS = ("tor", "tor_relay", "vpn", "proxy", "residential_proxy", "attacker", "abuse", "bot", "spam", "malware")
EVERY = (*RISKS, "hosting", "disposable", "reputation", *sorted(HARMLESS - {None}), None)  # type: ignore[type-var]

weights = st.integers(0, 10_000)
parts = st.frozensets(st.sampled_from("abcdefg"), min_size=1, max_size=3)
risks = st.builds(Claim, st.sampled_from(RISKS), weights, parts)
claims = st.builds(Claim, st.sampled_from(EVERY), weights, parts)


def oracle(given_claims: list[Claim]) -> int:
    """The score by trying every selection of claims, in exact fractions."""
    soft = {claim.category for claim in given_claims} & {"relay", "crawler"}
    usable = [
        claim
        for claim in given_claims
        if claim.category not in {"relay", "crawler", "cdn", "bogon", "free_mail", None}
        and not (soft and claim.category in {"vpn", "hosting"})
    ]
    best = Fraction(0)
    for size in range(len(usable) + 1):
        for chosen in combinations(usable, size):
            if sum(len(claim.evidence) for claim in chosen) > len(frozenset().union(*(c.evidence for c in chosen))):
                continue
            doubt = Fraction(1)
            for claim in chosen:
                doubt *= 1 - Fraction(min(claim.weight, 9_999), 10_000)
            best = max(best, 100 * (1 - doubt))
    return int(best + Fraction(1, 2))


@given(st.lists(claims, max_size=9))
@settings(max_examples=300, deadline=None)
def test_the_strongest_selection_counts(listings: list[Claim]) -> None:
    """The score is that of the best of all selections in which no evidence is used twice."""
    assert score(listings).total == oracle(listings)


@given(st.lists(claims, max_size=9))
def test_contributions_are_integers_that_add_up(listings: list[Claim]) -> None:
    """Every contribution is a whole number from 0 to 100, and they add up to a total from 0 to 100."""
    found = score(listings)
    assert all(type(share) is int and 0 <= share <= 100 for share in found.contributions)
    assert len(found.contributions) == len(listings)
    assert sum(found.contributions) == found.total <= 100
    assert type(found.total) is int


@given(st.lists(claims, max_size=8), claims)
def test_another_listing_never_lowers_it_unless_it_softens(listings: list[Claim], more: Claim) -> None:
    """One more listing of a risk raises the score or leaves it; one of a harmless category never raises it."""
    before, after = score(listings).total, score([*listings, more]).total
    if more.category in HARMLESS:
        assert after <= before
    else:
        assert after >= before


@given(st.lists(claims, max_size=8), st.sampled_from(["relay", "crawler"]))
def test_relay_and_crawler_take_vpn_and_hosting_out(listings: list[Claim], kind: str) -> None:
    """An address of a relay or crawler scores as if no list of tunnels or data centres named it."""
    rest = [claim for claim in listings if claim.category not in SOFTENED]
    good = Claim(kind, 10_000, frozenset({"z"}))
    assert score([*listings, good]).total == score(rest).total
    flags = flags_of(frozenset(claim.category for claim in [*listings, good]))
    assert not flags["vpn"]
    assert not flags["hosting"]
    assert flags[kind]


@given(st.lists(risks, max_size=7), st.randoms(use_true_random=False))
def test_order_does_not_matter(listings: list[Claim], chance: object) -> None:
    """The same listings in any order have the same score."""
    shuffled = list(listings)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert score(shuffled).total == score(listings).total


@given(st.lists(claims, min_size=1, max_size=8), st.data())
def test_fading_never_raises(listings: list[Claim], data: st.DataObject) -> None:
    """A score in which some weights have become smaller is not higher."""
    faded = [claim._replace(weight=data.draw(st.integers(0, claim.weight))) for claim in listings]
    assert score(faded).total <= score(listings).total


@given(
    st.integers(0, 100),
    st.floats(0, 1e7),
    st.floats(0, 1e7),
    st.integers(0, 5_000_000),
    st.tuples(st.integers(1, 5_000_000), st.integers(0, 5_000_000)),
)
def test_time_only_takes_away(weight: int, age: float, later: float, keep: int, limits: tuple[int, int]) -> None:
    """The longer an entry is gone, or its list unconfirmed, the less it weighs; at the end nothing."""
    stale, drop = limits[0], limits[0] + limits[1]
    times = {"keep": keep, "stale_after": stale, "drop_after": drop}
    fresh = effective_weight(weight, **times)
    assert fresh == weight * 100
    assert fresh >= effective_weight(weight, gone=age, **times) >= effective_weight(weight, gone=age + later, **times)
    assert fresh >= effective_weight(weight, age=age, **times) >= effective_weight(weight, age=age + later, **times)
    assert effective_weight(weight, age=stale, **times) == fresh
    assert effective_weight(weight, age=drop + 1, **times) == 0
    assert effective_weight(weight, gone=keep + 1, **times) == 0


def test_fading_is_linear() -> None:
    """Half of the window gone is half of the weight; both kinds of fading are multiplied."""
    assert effective_weight(40, gone=15, keep=30) == 2_000
    assert effective_weight(40, age=20, stale_after=10, drop_after=30) == 2_000
    assert effective_weight(40, gone=15, keep=30, age=20, stale_after=10, drop_after=30) == 1_000


class Listed(NamedTuple):
    id: str
    group: str | None = None
    includes: tuple[str, ...] = ()


def test_evidence_is_that_of_the_group_and_of_all_that_is_included() -> None:
    """Inclusion goes on through composites of composites, even in a ring, and to feeds that are switched off."""
    feeds = [
        Listed("all", "family"),
        Listed("part", "family"),
        Listed("mix", None, ("part", "absent")),
        Listed("mix_of_mix", None, ("mix", "ring")),
        Listed("ring", None, ("mix_of_mix",)),
    ]
    evidence = evidence_of(feeds)
    assert evidence["all"] == evidence["part"] == {"group family"}
    assert evidence["mix"] == {"mix", "group family", "absent"}
    assert evidence["mix_of_mix"] == evidence["ring"] == {"mix_of_mix", "ring", "mix", "group family", "absent"}


@pytest.mark.parametrize(
    ("weights_by_feed", "expected"),
    [
        ({"all": 40, "part": 60}, {"all": 0, "part": 60}),  # of one group the strongest
        ({"all": 40, "mix": 30}, {"all": 40, "mix": 0}),  # the original rather than its copy
        ({"all": 40, "mix": 60}, {"all": 0, "mix": 60}),
        ({"all": 40, "absent": 40, "mix": 60}, {"all": 40, "absent": 24, "mix": 0}),  # 100 - 60 * 0.6 = 64 > 60
        ({"all": 40, "alone": 50}, {"all": 20, "alone": 50}),  # 100 - 50 * 0.6 = 70
        ({"all": 100, "alone": 100}, {"all": 100, "alone": 0}),
    ],
)
def test_copies_count_once(weights_by_feed: dict[str, int], expected: dict[str, int]) -> None:
    """Worked by hand: of a group, and of a composite with its parts, the better side counts."""
    feeds = [Listed("all", "g"), Listed("part", "g"), Listed("mix", None, ("part", "absent")), Listed("absent")]
    evidence = evidence_of([*feeds, Listed("alone")])
    listings = [Claim("attacker", weight * 100, evidence[feed]) for feed, weight in weights_by_feed.items()]
    assert dict(zip(weights_by_feed, score(listings).contributions, strict=True)) == expected


def test_any_number_of_composites_is_weighed_in_bounded_time() -> None:
    """A hundred composites that all share parts with some others end in a bounded number of steps."""
    ring = [
        Claim("attacker", 2_000 + 13 * number % 500, frozenset({str(number), str((number + step) % 100)}))
        for step in (1, 7, 31)
        for number in range(100)
    ]
    assert 99 <= score(ring).total <= 100  # an exhaustive search would not end


def test_all_feeds_of_the_shipped_catalogue_at_once_are_weighed_exactly() -> None:
    """Even an address on every shipped list is within the bounds of the exact search: it agrees with the oracle."""
    feeds = [feed for feed in load_catalogue(SHIPPED_CATALOGUE).feeds if feed.kind in {"ip", "asn"}]
    evidence = evidence_of(feeds)
    composites = [feed for feed in feeds if len(evidence[feed.id]) > 1 and feed.weight]
    listings = [Claim(feed.category, feed.weight * 100, evidence[feed.id]) for feed in composites]
    assert len(listings) <= 16
    assert score(listings).total == oracle(listings)


def test_flags_follow_the_categories() -> None:
    """Each flag by its category; a Tor relay that is no exit is no Tor visitor, and reputation says nothing exact."""
    assert list(flags_of(frozenset())) == list(FLAGS)
    assert not any(flags_of(frozenset({"tor_relay", "reputation", "disposable", "free_mail", None})).values())
    shown = {
        category: [flag for flag, up in flags_of(frozenset({category})).items() if up]
        for category in ("tor", "vpn", "abuse", "cdn", "relay", "residential_proxy", "crawler", "spam")
    }
    assert shown == {
        "tor": ["tor", "anonymous"],
        "vpn": ["vpn", "anonymous"],
        "abuse": ["attacker"],
        "cdn": ["hosting"],
        "relay": ["relay", "anonymous"],
        "residential_proxy": ["residential_proxy", "anonymous"],
        "crawler": ["crawler"],
        "spam": ["spam"],
    }
    assert flags_of(frozenset(), bogon=True)["bogon"]
    assert not flags_of(frozenset({"vpn"}), softened=True)["anonymous"]
