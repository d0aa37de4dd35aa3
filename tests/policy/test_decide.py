"""Facts become decisions: bands, rules in order, bounds, shadow mode; as a slow judge of the file's words says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.metrics import VERDICT_WORDS
from blocklistd.reputation.policy import Facts, Policy, Profile, decide, settle
from blocklistd.reputation.policy.load import load_policy, read_policy
from blocklistd.reputation.report import FLAGS, ConnectionType, Decision, Verdict
from blocklistd.settings import SHIPPED_POLICY

if TYPE_CHECKING:
    from collections.abc import Mapping

ORDER = ["allow", "flag", "challenge", "block"]


def facts(score: int = 0, *flags: str, **more: Any) -> Facts:
    return Facts(score, {flag: flag in flags for flag in FLAGS}, **more)


def profile_of(rules: str, head: str = "") -> Profile:
    return read_policy(f"profiles:\n  default:\n    {head}\n    rules:\n{rules}", "test").profile("default")


def test_counters_know_every_verdict() -> None:
    """The words of the counters are the words of the answers, mildest first."""
    assert get_args(Verdict) == VERDICT_WORDS == tuple(ORDER)


@pytest.mark.parametrize(
    ("score", "verdict", "decided_by"),
    [
        (0, "allow", "band 0-19"),
        (19, "allow", "band 0-19"),
        (20, "flag", "band 20-44"),
        (44, "flag", "band 20-44"),
        (45, "challenge", "band 45-79"),
        (79, "challenge", "band 45-79"),
        (80, "block", "band 80-100"),
        (100, "block", "band 80-100"),
    ],
)
def test_without_rules_the_band_decides(score: int, verdict: Verdict, decided_by: str) -> None:
    """Both ends of a band belong to it."""
    assert decide(Profile("default"), facts(score)) == Decision(verdict, "default", decided_by)


def test_first_rule_that_holds_decides() -> None:
    """Later ones are not looked at, however severe; the number in the answer is the place in the file."""
    profile = profile_of(
        "      - {name: Tor, when: {flags: tor}, then: flag}\n"
        "      - {name: any proxy, when: {flags: [vpn, proxy]}, then: challenge}\n"
        "      - {name: all proxies, when: {flags: [tor, vpn]}, then: block}\n"
    )
    assert decide(profile, facts(90, "tor", "vpn")).decided_by == "rule 1: Tor"
    assert decide(profile, facts(0, "vpn")) == Decision("challenge", "default", "rule 2: any proxy")
    assert decide(profile, facts(90, "relay")).decided_by == "band 80-100"


def test_bounds_keep_the_band_within_them() -> None:
    """at_least lifts, at_most lowers; a band within the bounds stands, and both are named."""
    profile = profile_of("      - {name: shared, when: {flags: relay}, at_least: flag, at_most: challenge}\n")
    decided = [decide(profile, facts(score, "relay")) for score in (0, 30, 60, 95)]
    assert [decision.verdict for decision in decided] == ["flag", "flag", "challenge", "challenge"]
    assert [decision.decided_by for decision in decided] == [
        "rule 1: shared",
        "band 20-44, within rule 1: shared",
        "band 45-79, within rule 1: shared",
        "rule 1: shared",
    ]


def test_unknown_country_and_network_are_on_no_list() -> None:
    """A rule for countries does not hold where the country is unknown; one for all others does."""
    profile = profile_of(
        "      - {name: at home, when: {country: [DE]}, then: allow}\n"
        "      - {name: our network, when: {asn: [64500]}, then: flag}\n"
        "      - {name: elsewhere, when: {not: [{country: AT}, {asn: 64501}]}, then: block}\n"
    )
    assert decide(profile, facts(country="DE", asn=64500)).decided_by == "rule 1: at home"
    assert decide(profile, facts(country="FR", asn=64500)).decided_by == "rule 2: our network"
    assert decide(profile, facts()).decided_by == "rule 3: elsewhere"
    assert decide(profile, facts(country="AT")).decided_by == "band 0-19"
    assert decide(profile, facts(country="FR", asn=64501)).decided_by == "band 0-19"


def test_scores_of_a_rule_begin_with_the_first_and_end_before_the_last() -> None:
    """at_least belongs to it, below does not; each alone is enough."""
    profile = profile_of(
        "      - {name: middle, when: {score: {at_least: 30, below: 40}}, then: flag}\n"
        "      - {name: top, when: {score: {at_least: 100}}, then: challenge}\n"
        "      - {name: bottom, when: {score: {below: 1}}, then: block}\n"
    )
    scores = (0, 1, 29, 30, 39, 40, 99, 100)
    rules = ["3: bottom", "", "", "1: middle", "1: middle", "", "", "2: top"]
    decided = [decide(profile, facts(score)).decided_by for score in scores]
    assert [words.partition("rule ")[2] for words in decided] == rules


def test_keys_below_not_belong_together() -> None:
    """One block of ``not`` is broken only by an address to which all of it applies."""
    profile = profile_of("      - {name: x, when: {not: {country: DE, asn: 64500}}, then: block}\n")
    assert decide(profile, facts(country="DE", asn=64500)).verdict == "allow"
    assert decide(profile, facts(country="DE", asn=64501)).verdict == "block"


def test_shadow_profile_allows_and_says_what_it_would_have_said() -> None:
    """Whatever the facts, the verdict is allow; ``would`` and ``decided_by`` are those of the same profile in force."""
    rule = "      - {name: Tor, when: {flags: tor}, then: block}\n"
    shadow, in_force = profile_of(rule, "shadow: true"), profile_of(rule)
    for known in (facts(0), facts(50), facts(100), facts(0, "tor")):
        judged, would = decide(shadow, known), decide(in_force, known)
        assert (judged.verdict, judged.would, judged.decided_by) == ("allow", would.verdict, would.decided_by)
        assert would.would is None


def test_fail_mode_and_profile_are_in_every_decision() -> None:
    """Also in those that an override or a suppression has made."""
    profile = Profile("payment", fail="closed")
    assert settle(profile, "block", "override 192.0.2.7") == Decision(
        "block", "payment", "override 192.0.2.7", fail="closed"
    )
    assert decide(profile, facts(0)).fail == "closed"
    shadow = Profile("payment", shadow=True)
    assert settle(shadow, "block", "override 192.0.2.7").would == "block"
    assert settle(shadow, "block", "override 192.0.2.7").verdict == "allow"


# the shipped profiles, told as stories


@pytest.mark.parametrize(
    ("profile", "known", "verdict"),
    [
        ("default", facts(95, "relay", "attacker"), "challenge"),  # thousands of people behind one egress
        ("login", facts(5, "tor"), "challenge"),  # a person who uses Tor is asked, not turned away
        ("login", facts(99, "tor", "attacker"), "challenge"),
        ("login", facts(95, "attacker", connection_type="mobile"), "challenge"),  # a mobile operator's address
        ("login", facts(95, "attacker", connection_type="residential"), "block"),
        ("login", facts(0, "hosting"), "flag"),
        ("login", facts(95, "hosting", "bot"), "block"),
        ("signup", facts(0, "vpn"), "challenge"),
        ("signup", facts(85, "proxy", "spam"), "block"),
        ("signup", facts(3, "hosting"), "flag"),
        ("payment", facts(0, "tor"), "block"),
        ("payment", facts(0, "residential_proxy"), "challenge"),
        ("payment", facts(0, "relay"), "allow"),
        ("payment", facts(0, "hosting"), "challenge"),
        ("admin", facts(0, "relay"), "block"),
        ("admin", facts(0, "hosting"), "challenge"),
        ("admin", facts(0), "allow"),
    ],
)
def test_shipped_profiles(profile: str, known: Facts, verdict: Verdict) -> None:
    """Graduated answers: known people are asked before they are refused, money is guarded closely."""
    assert decide(load_policy(SHIPPED_POLICY).profile(profile), known).verdict == verdict


# an independent judge

LISTS: Mapping[str, list[Any]] = {
    "flags": ["tor", "vpn", "hosting"],
    "country": ["DE", "AT"],
    "asn": [64500, 64501],
    "connection_type": ["mobile", "hosting", "unknown"],
    "feeds": ["alpha", "beta"],
    "categories": ["attacker", "spam"],
}
BLOCKS = st.fixed_dictionaries(
    {},
    optional={
        **{key: st.lists(st.sampled_from(words), min_size=1, max_size=2) for key, words in LISTS.items()},
        "score": st.fixed_dictionaries({"at_least": st.integers(0, 50), "below": st.integers(51, 101)}),
    },
).filter(bool)
WHENS = st.one_of(
    BLOCKS,
    st.builds(lambda block, blocks: {**block, "not": blocks}, BLOCKS, st.lists(BLOCKS, min_size=1, max_size=2)),
)
EFFECTS = st.one_of(
    st.sampled_from(ORDER).map(lambda word: {"then": word}),
    st.sampled_from(ORDER).map(lambda word: {"at_least": word}),
    st.sampled_from(ORDER).map(lambda word: {"at_most": word}),
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "rules": st.lists(st.builds(lambda when, effect: {"name": "x", "when": when, **effect}, WHENS, EFFECTS)),
        "bands": st.fixed_dictionaries(
            {"block": st.integers(67, 100)}, optional={"flag": st.integers(1, 33), "challenge": st.integers(34, 66)}
        ),
        "shadow": st.booleans(),
    }
)
FACTS = st.builds(
    Facts,
    score=st.integers(0, 100),
    flags=st.fixed_dictionaries({flag: st.booleans() for flag in LISTS["flags"]}),
    feeds=st.lists(st.sampled_from(LISTS["feeds"]), unique=True).map(tuple),
    categories=st.frozensets(st.sampled_from(LISTS["categories"])),
    country=st.sampled_from([None, "DE", "FR"]),
    asn=st.sampled_from([None, 64500, 64502]),
    connection_type=st.sampled_from(get_args(ConnectionType)),
)


def applies(block: dict[str, Any], known: Facts) -> bool:
    """What the documentation says of a condition, word by word."""
    having: dict[str, set[Any]] = {
        "flags": {flag for flag, raised in known.flags.items() if raised},
        "country": {known.country},
        "asn": {known.asn},
        "connection_type": {known.connection_type},
        "feeds": set(known.feeds),
        "categories": set(known.categories),
    }
    answers = [bool(set(words) & having[key]) for key, words in block.items() if key in having]
    if "score" in block:
        answers.append(known.score in range(block["score"]["at_least"], block["score"]["below"]))
    return all(answers) and not any(applies(exception, known) for exception in block.get("not", []))


def judged(document: dict[str, Any], known: Facts) -> str:
    word = max(
        (verdict for verdict in ORDER if known.score >= {"allow": 0, **document["bands"]}.get(verdict, 101)),
        key=ORDER.index,
    )
    for rule in document["rules"]:
        if applies(rule["when"], known):
            bounds = [rule.get("at_least", "allow"), word, rule.get("at_most", "block")]
            return str(rule["then"]) if "then" in rule else sorted(bounds, key=ORDER.index)[1]
    return word


@given(DOCUMENTS, FACTS)
def test_decisions_agree_with_a_slow_judge(document: dict[str, Any], known: Facts) -> None:
    """A judge that reads the file's own words comes to the same verdict, also after the way to the workers."""
    policy = read_policy(yaml.safe_dump({"profiles": {"default": document}}), "test")
    for profile in (policy.profile("default"), Policy.from_document(policy.as_document()).profile("default")):
        decision = decide(profile, known)
        assert (decision.would or decision.verdict) == judged(document, known)
        assert not profile.shadow or decision.verdict == "allow"
