"""policy.yaml becomes a policy that means what it says, and goes to the workers unchanged."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.errors import UsageError
from blocklistd.reputation.policy import Band, Condition, DecisionLogging, Policy, Profile, Rule, Suppressed
from blocklistd.reputation.policy.load import load_policy, read_policy
from blocklistd.reputation.report import Verdict
from blocklistd.settings import SHIPPED_POLICY

FULL = """
profiles:
  default: {}
  shop-1:
    bands: {flag: 5, block: 60}
    fail: closed
    shadow: true
    rules:
      - name: everything at once
        when:
          flags: [tor, vpn]
          country: [DE, AT]
          asn: [AS64500, 64501, as64502]
          connection_type: mobile
          feeds: alpha
          categories: [attacker]
          score: {at_least: 10, below: 90}
          not:
            - {asn: 64503}
            - {country: [CH], flags: relay}
        at_least: flag
        at_most: challenge
      - {name: replaced, when: {not: {flags: [tor]}}, then: allow}
suppress: [own, cdn, AS64500, 192.0.2.7, 192.0.2.9/24, "2001:db8::/32"]
decision_log: {enabled: true, addresses: whole, retention: 90d, max_bytes: 1GiB}
"""


def test_every_key_is_read() -> None:
    """Each key of a file ends up where it belongs; a single value stands for a list of one."""
    policy = read_policy(FULL, "test", {"alpha"})
    everything = Condition(
        flags=frozenset({"tor", "vpn"}),
        country=frozenset({"DE", "AT"}),
        asn=frozenset({64500, 64501, 64502}),
        connection_type=frozenset({"mobile"}),
        feeds=frozenset({"alpha"}),
        categories=frozenset({"attacker"}),
        score_from=10,
        score_below=90,
        unless=(
            Condition(asn=frozenset({64503})),
            Condition(country=frozenset({"CH"}), flags=frozenset({"relay"})),
        ),
    )
    rules = (
        Rule("everything at once", everything, "flag", "challenge"),
        Rule("replaced", Condition(unless=(Condition(flags=frozenset({"tor"})),)), "allow", "allow"),
    )
    bands = (Band(0, 4, "allow"), Band(5, 59, "flag"), Band(60, 100, "block"))
    assert policy.profile("shop-1") == Profile("shop-1", bands, rules, fail="closed", shadow=True)
    networks = ("192.0.2.7/32", "192.0.2.0/24", "2001:db8::/32")
    assert policy.suppress == Suppressed(frozenset({"own", "cdn"}), frozenset({64500}), networks)
    assert policy.decision_log == DecisionLogging(
        enabled=True, whole_addresses=True, retention=90 * 86400, max_bytes=2**30
    )


def test_what_is_not_said_has_its_default() -> None:
    """The smallest policy: the bands of every score, open, in force, five sets suppressed, nothing logged."""
    policy = read_policy("profiles: {default: {}}\n", "test")
    bands = (Band(0, 19, "allow"), Band(20, 44, "flag"), Band(45, 79, "challenge"), Band(80, 100, "block"))
    assert policy.profiles == {"default": Profile("default", bands, (), fail="open", shadow=False)}
    assert policy.suppress.sets == {"own", "gateway", "resolvers", "bogons", "public_resolvers"}
    assert not policy.decision_log.enabled
    assert not policy.decision_log.whole_addresses
    assert policy.decision_log.retention == 30 * 86400


def test_nothing_may_be_suppressed() -> None:
    """An empty list is a wish, not a mistake."""
    assert read_policy("profiles: {default: {}}\nsuppress: []\n", "test").suppress == Suppressed(frozenset())


def test_unknown_profile_is_bad_usage() -> None:
    """Who asks for a profile that does not exist is told which do."""
    policy = read_policy(FULL, "test")
    with pytest.raises(UsageError, match="There is no profile 'shop'; there are default, shop-1"):
        policy.profile("shop")


# the shipped policy


def test_shipped_policy_keeps_the_published_bands() -> None:
    """The profile default judges 0-19, 20-44, 45-79 and 80-100, as the documentation of answers says."""
    policy = load_policy(SHIPPED_POLICY, ())
    assert list(policy.profiles) == ["default", "login", "signup", "payment", "admin"]
    assert policy.profiles["default"].bands == Profile("default").bands


def test_shipped_policy_fails_open_where_people_come_in_and_closed_where_money_goes_out() -> None:
    """A login goes on without us; a payment and the administration do not."""
    modes = {name: profile.fail for name, profile in load_policy(SHIPPED_POLICY).profiles.items()}
    assert modes == {"default": "open", "login": "open", "signup": "open", "payment": "closed", "admin": "closed"}


def test_shipped_policy_is_private_and_in_force() -> None:
    """As it comes no decision is logged and no profile is in shadow mode."""
    policy = load_policy(SHIPPED_POLICY)
    assert policy.decision_log == DecisionLogging()
    assert policy.suppress == Suppressed()
    assert not any(profile.shadow for profile in policy.profiles.values())


def test_examples_in_the_shipped_policy_are_right() -> None:
    """What an operator gets who takes the hashes of an example away is a good policy too."""
    lines = SHIPPED_POLICY.read_text().splitlines()
    text = "\n".join(line.replace("# - ", "- ", 1) if line.lstrip().startswith("# - ") else line for line in lines)
    for continued in ("  when: {not:", "  when: {asn:", "  at_least: challenge", "  then: allow"):
        text = text.replace(f"      # {continued}", f"      {continued}")
    policy = read_policy(text, "test", ())
    assert policy.profiles["payment"].rules[-1].name == "unusual country"
    assert policy.profiles["admin"].rules[0].name == "our own network"
    assert policy.suppress.sets >= {"cdn", "crawler", "relay"}
    assert policy.suppress.asns == {64500}
    assert policy.suppress.networks == ("192.0.2.0/24",)


# the way to the workers

SETS = st.frozensets(st.sampled_from(["tor", "DE", "hosting", "alpha"]), max_size=3)
CONDITIONS = st.builds(
    Condition,
    flags=SETS,
    country=SETS,
    asn=st.frozensets(st.integers(1, 2**32 - 1), max_size=3),
    connection_type=SETS,
    feeds=SETS,
    categories=SETS,
    score_from=st.integers(0, 100),
    score_below=st.integers(1, 101),
    unless=st.lists(st.builds(Condition, flags=SETS), max_size=2).map(tuple),
)
VERDICTS: st.SearchStrategy[Verdict] = st.sampled_from(["allow", "flag", "challenge", "block"])
PROFILES = st.builds(
    Profile,
    name=st.text(max_size=5),
    rules=st.lists(st.builds(Rule, st.text(max_size=5), CONDITIONS, VERDICTS, VERDICTS), max_size=3).map(tuple),
    fail=st.sampled_from(["open", "closed"]),
    shadow=st.booleans(),
)
POLICIES = st.builds(
    Policy,
    profiles=st.lists(PROFILES, max_size=3).map(lambda profiles: {profile.name: profile for profile in profiles}),
    suppress=st.builds(Suppressed, SETS, st.frozensets(st.integers(1, 9)), st.lists(st.text(max_size=3)).map(tuple)),
    decision_log=st.builds(DecisionLogging, st.booleans(), st.booleans(), st.integers(1), st.integers(1)),
)


@given(POLICIES)
def test_a_policy_survives_the_way_to_the_workers(policy: Policy) -> None:
    """Written as JSON and read back it is the same policy."""
    assert Policy.from_document(json.loads(json.dumps(policy.as_document()))) == policy


def test_a_policy_from_a_file_survives_too() -> None:
    """Also the one that holds every key, and the shipped one."""
    for policy in (read_policy(FULL, "test"), load_policy(SHIPPED_POLICY)):
        assert Policy.from_document(json.loads(json.dumps(policy.as_document()))) == policy


def test_a_policy_too_large_to_be_told_is_refused() -> None:
    """Aliases unfold to more than a worker takes in one message: a mistake of the file, not the end of the workers."""
    many = ", ".join(["{asn: 1}"] * 1000)
    rules = "".join(
        f"      - {{name: a, when: {'&w {not: [' + many + ']}' if not n else '*w'}, then: block}}\n" for n in range(33)
    )
    with pytest.raises(UsageError, match="more than 4 MiB"):
        read_policy(f"profiles:\n  default:\n    rules:\n{rules}", "test")
