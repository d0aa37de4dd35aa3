"""Reports from real snapshots: facts and effects together, and what changes them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocklistd import BadAddress, Snapshot
from blocklistd.addresses import Address, parse_address
from blocklistd.collect.state import FeedState
from blocklistd.errors import UsageError
from blocklistd.index.sightings import network_around
from blocklistd.reputation.assess import Assessor
from blocklistd.reputation.host import Host
from blocklistd.reputation.origin import Origins
from blocklistd.reputation.overrides import Overrides
from blocklistd.reputation.policy import Band, Policy, Profile, Suppressed
from blocklistd.reputation.report import FLAGS, IpReport
from blocklistd.reputation.suppression import Suppression
from blocklistd.state.overrides import Override
from tests.support import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86400
NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""

FEEDS = {
    "exits": ["20.0.0.1", "20.0.0.7", "2a00:1::/64"],
    "exits_too": ["20.0.0.1"],
    "attacks": ["20.0.0.1", "20.0.0.2", "20.0.0.3", "2a00:1::5", "20.0.0.9", "2002:1400:c8::/48"],
    "mixture": ["20.0.0.2", "20.0.0.4"],
    "tunnels": ["20.0.0.5", "20.0.0.6"],
    "centres": ["20.0.0.0/24", "2002:1400:c8::/48"],
    "relays": ["20.0.0.6"],
    "crawlers": ["20.0.0.8"],
    "window": ["20.0.0.3"],
}
DESCRIBED: dict[str, dict[str, Any]] = {
    "exits": {"category": "tor", "weight": 40, "group": "tor", "provider": "An Example", "title": "Exits"},
    "exits_too": {"category": "tor", "weight": 40, "group": "tor"},
    "attacks": {"category": "attacker", "weight": 40},
    "mixture": {"category": "attacker", "weight": 60, "includes": ("attacks",)},
    "tunnels": {"category": "vpn", "weight": 30},
    "centres": {"category": "hosting", "weight": 10},
    "relays": {"category": "relay", "weight": 0},
    "crawlers": {"category": "crawler", "weight": 0},
    "window": {"category": "bot", "weight": 40, "keep": 30 * DAY},
}
KEPT = {"window": {"20.0.0.9": (int(NOW) - 40 * DAY, int(NOW) - 15 * DAY), "2a00:2::/64": (5, int(NOW) - 3 * DAY)}}
SYSTEMS = {"20.0.0.0/16": (64500, "EXAMPLE-HOSTING Example Ltd"), "2a00::/16": (64501, "EXAMPLE-SIX")}
COUNTRIES = {"20.0.0.0/16": "DE", "2a00::/16": "FR"}
STRICT = Profile("strict", (Band(0, 9, "allow"), Band(10, 100, "block")), fail="closed")
POLICY = Policy({"default": Profile("default"), "strict": STRICT, "quiet": replace(STRICT, name="quiet", shadow=True)})
ONLY_BOGONS = Suppressed(frozenset({"bogons"}))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    data = tmp_path_factory.mktemp("data")
    make_snapshot(data, FEEDS, systems=SYSTEMS, countries=COUNTRIES, described=DESCRIBED, kept=KEPT, built_at=NOW - 100)
    with Snapshot.open_current(data) as opened:
        yield opened


class Setting:
    """An assessor whose clock can be put forward."""

    def __init__(self, snapshot: Snapshot, *entries: Override, suppress: Suppressed = ONLY_BOGONS, **host: Any) -> None:
        self.now = NOW
        self.assessor = Assessor(
            snapshot,
            origins=Origins(snapshot),
            overrides=Overrides(entries, clock=lambda: self.now),
            suppression=Suppression(suppress, Host(**host)),
            policy=POLICY,
            clock=lambda: self.now,
        )

    def __call__(self, ip: str, profile: str = "default") -> IpReport:
        return self.assessor.report(ip, profile)


def contributions(report: IpReport) -> dict[str, int]:
    return {row.feed: row.contribution for row in report.listings}


def fetched(at: float, *feeds: str) -> dict[str, FeedState]:
    return {feed: FeedState(feed, succeeded_at=at) for feed in feeds}


def entry(key: str, action: str = "allow", **fields: Any) -> Override:
    return Override(key, action, "because", "ops", NOW - 5, **fields)  # type: ignore[arg-type]


def test_a_report_tells_everything(snapshot: Snapshot) -> None:
    """The whole JSON object of an address on four lists, worked by hand: 40, then 24 of the rest, then 4 of that."""
    document = json.loads(json.dumps(Setting(snapshot)("20.0.0.1").as_document()))
    assert document["listings"][0] == {
        "feed": "exits",
        "title": "Exits",
        "category": "tor",
        "provider": "An Example",
        "network": "20.0.0.1/32",
        "first_seen": "2027-01-15T07:58:20Z",
        "last_seen": "2027-01-15T07:58:20Z",
        "current": True,
        "contribution": 40,
    }
    assert {row["feed"]: (row["contribution"], row["network"]) for row in document.pop("listings")} == {
        "exits": (40, "20.0.0.1/32"),
        "exits_too": (0, "20.0.0.1/32"),  # of one group with the former
        "attacks": (24, "20.0.0.1/32"),
        "centres": (4, "20.0.0.0/24"),  # 36 % of doubt, a tenth of it: 3.6, together 67.6
    }
    assert document.pop("flags") == {
        flag: flag in {"tor", "attacker", "hosting", "anonymous"} for flag in FLAGS
    }  # fmt: skip
    origin = document.pop("origin")
    assert (origin["asn"], origin["country"], origin["connection_type"]) == (64500, "DE", "hosting")
    assert "centres" in origin["connection_reason"]
    assert document == {
        "ip": "20.0.0.1",
        "listed": True,
        "score": 68,
        "listed_score": 68,
        "verdict": "challenge",
        "profile": "default",
        "decided_by": "band 45-79",
        "fail": "open",
        "would": None,
        "suppressed_by": None,
        "override": None,
        "embedded_ipv4": None,
        "snapshot": {
            "id": snapshot.id,
            "built_at": "2027-01-15T07:58:20Z",
            "age_seconds": 100,
            "stale_feeds": [],
        },
    }


def test_an_unknown_address_is_clean(snapshot: Snapshot) -> None:
    """Nothing listed, no flag up, score 0, and still its origin where the tables know it."""
    report = Setting(snapshot)("20.0.1.1")
    assert (report.listed, report.score, report.listings, report.origin.asn) == (False, 0, (), 64500)
    assert not any(report.flags.values())
    assert Setting(snapshot)("21.0.0.1").origin.asn is None


def test_copies_count_once_and_hosting_alone_is_allowed(snapshot: Snapshot) -> None:
    """A composite and the list it contains give the larger; a data centre alone stays below the first band."""
    report = Setting(snapshot)("20.0.0.2")
    assert contributions(report) == {"attacks": 0, "mixture": 60, "centres": 4}
    alone = Setting(snapshot)("20.0.0.77")
    assert (alone.score, alone.decision.verdict, alone.flags["hosting"]) == (10, "allow", True)


def test_a_relay_or_crawler_is_no_vpn_and_no_hosting(snapshot: Snapshot) -> None:
    """Where a list of relays or crawlers names it, lists of tunnels and data centres say nothing."""
    judge = Setting(snapshot)
    relay, crawler, tunnel = judge("20.0.0.6"), judge("20.0.0.8"), judge("20.0.0.5")
    assert contributions(relay) == {"tunnels": 0, "centres": 0, "relays": 0}
    assert [flag for flag, up in relay.flags.items() if up] == ["relay", "anonymous"]
    assert [flag for flag, up in crawler.flags.items() if up] == ["crawler"]
    assert crawler.listed
    assert crawler.score == 0
    assert tunnel.score == 37
    assert tunnel.flags["vpn"]


def test_what_left_its_list_fades(snapshot: Snapshot) -> None:
    """Half through its window an entry weighs half; it says when it was seen, and the network it stood for."""
    judge = Setting(snapshot)
    report = judge("20.0.0.9")
    window = report.listings[-1]
    assert (window.feed, window.current, window.network) == ("window", False, "20.0.0.9/32")
    assert (window.first_seen, window.last_seen) == (NOW - 40 * DAY, NOW - 15 * DAY)
    assert contributions(report) == {"attacks": 40, "window": 12, "centres": 5}  # 40, 40 + 12, 52 + 4.8 = 56.8
    assert report.flags["bot"]
    assert judge("2a00:2::1").listings[0].network == "2a00:2::/64"
    before = judge("20.0.0.9").listed_score
    for _ in range(40):
        judge.now += DAY
        after = judge("20.0.0.9").listed_score
        assert after <= before
        before = after


def test_a_list_that_nobody_confirms_fades_and_is_dropped(snapshot: Snapshot) -> None:
    """A feed counts in full until stale_after, then less and less, and from drop_after on it has no effect."""
    judge = Setting(snapshot)
    judge.now = NOW - 100 + 3 * DAY
    assert judge("20.0.0.7").listed_score == 46
    assert judge("20.0.0.7").snapshot["stale_feeds"] == []
    judge.now += 13.5 * DAY
    half = judge("20.0.0.7")
    assert contributions(half) == {"exits": 20, "centres": 4}
    assert half.snapshot["stale_feeds"] == list(FEEDS)
    judge.now += 14 * DAY
    gone = judge("20.0.0.7")
    assert (gone.score, gone.listed, gone.flags["tor"], len(gone.listings)) == (0, False, False, 2)
    judge.assessor.confirm(fetched(judge.now - 60, "exits", "centres"))
    again = judge("20.0.0.7")
    assert again.score == 46
    assert again.listings[0].last_seen == judge.now - 60
    assert set(again.snapshot["stale_feeds"]) == set(FEEDS) - {"exits", "centres"}


def test_a_relay_list_softens_however_old_it_is(snapshot: Snapshot) -> None:
    """Past its drop_after it sets no flag, but lists of data centres say nothing of score and connection."""
    judge = Setting(snapshot)
    judge.now += 40 * DAY
    judge.assessor.confirm(fetched(judge.now, "centres", "tunnels"))
    report = judge("20.0.0.6")
    assert (report.score, report.origin.connection_type) == (0, "unknown")
    assert not any(report.flags.values())
    assert "relays" in report.origin.connection_reason
    assert judge("20.0.0.5").origin.connection_type == "hosting"


def test_an_old_word_confirms_nothing(snapshot: Snapshot) -> None:
    """Fetch states older than the snapshot, or of feeds that it does not hold, change nothing."""
    judge = Setting(snapshot)
    judge.assessor.confirm(fetched(5.0, "exits") | fetched(NOW, "unknown"))
    assert judge("20.0.0.7").listings[0].last_seen == NOW - 100


def test_a_later_version_does_not_confirm_the_one_in_force(snapshot: Snapshot) -> None:
    """A list that has changed since was last seen so before the change; with a pin, when the snapshot was built."""
    state = FeedState("exits", succeeded_at=NOW + 50, changed_at=NOW + 40, confirmed_at=NOW + 30)
    for pinned, last in ((False, NOW + 30), (True, NOW - 100)):
        judge = Setting(snapshot)
        judge.assessor.confirm({"exits": state}, pinned=pinned)
        judge.now = NOW + 60
        assert judge("20.0.0.7").listings[0].last_seen == last


@pytest.mark.parametrize("key", ["20.0.0.1", "20.0.0.0/24", "AS64500", "DE"])
def test_allow_clears_and_deny_condemns(snapshot: Snapshot, key: str) -> None:
    """An override decides before the policy; the listings stay, and the raw sum."""
    allowed = Setting(snapshot, entry(key))("20.0.0.1", "strict")
    assert (allowed.listed, allowed.score, allowed.listed_score) == (False, 0, 68)
    assert (allowed.decision.verdict, allowed.decision.decided_by) == ("allow", f"override {key}")
    assert allowed.override is not None
    assert allowed.override["reason"] == "because"
    assert allowed.flags["tor"]
    assert not allowed.flags["hosting"]
    assert len(allowed.listings) == 4
    denied = Setting(snapshot, entry(key, "deny"))("20.0.0.1")
    assert (denied.listed, denied.score, denied.listed_score, denied.decision.verdict) == (True, 100, 68, "block")


def test_an_override_ends(snapshot: Snapshot) -> None:
    """The moment an entry expires the policy decides again, and a feed taken out counts again."""
    judge = Setting(snapshot, entry("20.0.0.1", expires=NOW + 10), entry("feed:attacks", expires=NOW + 20))
    assert judge("20.0.0.1").score == 0
    judge.now = NOW + 11
    assert contributions(judge("20.0.0.1")) == {"exits": 40, "exits_too": 0, "attacks": 0, "centres": 6}
    judge.now = NOW + 21
    assert judge("20.0.0.1").score == 68


def test_a_feed_that_is_taken_out_is_shown_without_effect(snapshot: Snapshot) -> None:
    """Its listing stays, contributes nothing and raises no flag; what it softened is hard again."""
    report = Setting(snapshot, entry("feed:attacks"), entry("feed:centres"))("20.0.0.3")
    assert contributions(report) == {"attacks": 0, "centres": 0, "window": 40}
    assert not report.flags["attacker"]
    assert not report.flags["hosting"]
    only = Setting(snapshot, entry("feed:centres"))("20.0.0.77")
    assert (only.listed, len(only.listings)) == (False, 1)
    assert Setting(snapshot, entry("feed:relays"))("20.0.0.6").score == 37


def test_suppression_keeps_the_listings(snapshot: Snapshot) -> None:
    """An own address that a list names is not acted against; an operator's deny is stronger still."""
    own: dict[str, Any] = {
        "suppress": Suppressed(frozenset({"own", "crawler"})),
        "own": frozenset({parse_address("20.0.0.1")}),
    }
    report = Setting(snapshot, **own)("20.0.0.1", "strict")
    assert (report.score, report.listed_score, report.listed, len(report.listings)) == (0, 68, False, 4)
    assert report.suppressed_by == "address of this host"
    assert (report.decision.verdict, report.decision.decided_by) == ("allow", "suppressed: address of this host")
    assert Setting(snapshot, **own)("20.0.0.8").suppressed_by == "crawler (crawlers)"
    denied = Setting(snapshot, entry("20.0.0.1", "deny"), **own)("20.0.0.1")
    assert (denied.score, denied.suppressed_by) == (100, None)


def test_special_space_is_no_visitor(snapshot: Snapshot) -> None:
    """A private address says so: flag bogon, suppressed, score 0."""
    report = Setting(snapshot)("192.168.1.1")
    assert report.flags["bogon"]
    assert report.suppressed_by == "private address (192.168.0.0/16)"
    assert report.decision.verdict == "allow"


@pytest.mark.parametrize(("outer", "inner"), [("64:ff9b::1400:1", "20.0.0.1"), ("2002:1400:1::1", "20.0.0.1")])
def test_the_ipv4_inside_counts(snapshot: Snapshot, outer: str, inner: str) -> None:
    """NAT64 and 6to4 addresses are judged by the lists, the origin and the overrides of what is inside."""
    report, plain = Setting(snapshot)(outer), Setting(snapshot)(inner)
    assert report.ip == outer
    assert report.embedded_ipv4 == inner
    assert report.listings == plain.listings
    assert (report.score, report.origin, report.flags) == (plain.score, plain.origin, plain.flags)
    never = Suppressed(networks=("20.0.0.1/32",))
    assert Setting(snapshot, suppress=never)(outer).suppressed_by == "network 20.0.0.1/32 of the policy"
    assert Setting(snapshot, entry(inner, "deny"))(outer).score == 100
    assert Setting(snapshot, entry(outer, "deny"))(outer).score == 100


def test_the_more_exact_entry_wins_inside_too(snapshot: Snapshot) -> None:
    """An entry for the IPv4 address inside goes before its ASN and country, one for the form asked before all."""
    entries = entry("DE", "deny"), entry("AS64500", "deny"), entry("20.0.0.1")
    for outer in ("64:ff9b::1400:1", "20.0.0.1"):
        assert Setting(snapshot, *entries)(outer).decision.decided_by == "override 20.0.0.1"
    asked = Setting(snapshot, *entries, entry("64:ff9b::1400:1", "deny"))("64:ff9b::1400:1")
    assert asked.decision.decided_by == "override 64:ff9b::1400:1"
    assert Setting(snapshot, entry("DE", "deny"))("64:ff9b::1400:1").score == 100


def test_listings_outside_and_inside_are_one_a_feed(snapshot: Snapshot) -> None:
    """Where lists name the IPv6 form as well, each feed has one listing, in catalogue order, by what was asked."""
    report = Setting(snapshot)("2002:1400:c8::7")
    assert report.embedded_ipv4 == "20.0.0.200"
    assert [(row.feed, row.network) for row in report.listings] == [
        ("attacks", "2002:1400:c8::/48"),
        ("centres", "2002:1400:c8::/48"),
    ]
    assert contributions(report) == {"attacks": 40, "centres": 6}


def test_shadow_mode_only_allows(snapshot: Snapshot) -> None:
    """A profile in shadow mode answers allow and says what it would have said, whoever decided."""
    judge = Setting(snapshot, entry("20.0.0.5", "deny"))
    for ip, would in (("20.0.0.1", "block"), ("20.0.0.5", "block"), ("20.0.1.1", "allow")):
        decision = judge(ip, "quiet").decision
        assert (decision.verdict, decision.would, decision.fail) == ("allow", would, "closed")


def test_bad_questions_are_refused(snapshot: Snapshot) -> None:
    """What is no address raises BadAddress, what is no profile UsageError that names those there are."""
    with pytest.raises(BadAddress):
        Setting(snapshot)("20.0.0")
    with pytest.raises(UsageError, match="default, strict, quiet"):
        Setting(snapshot)("20.0.0.1", "nobody")


def test_sightings_name_the_same_feeds_as_a_lookup(snapshot: Snapshot) -> None:
    """One sighting a feed, in catalogue order, in both families and between entries."""
    for ip in ("20.0.0.1", "20.0.0.9", "20.0.0.255", "20.0.1.0", "2a00:1::5", "2a00:1::6", "2a00:2::", "::"):
        assert tuple(sighting.record.id for sighting in snapshot.sightings(ip)) == snapshot.lookup(ip).feeds
    assert [sighting.network for sighting in snapshot.sightings("2a00:1::5")] == ["2a00:1::/64", "2a00:1::5/128"]


@given(st.sampled_from([4, 6]), st.data())
@settings(max_examples=200)
def test_the_network_around_an_address_is_the_widest_that_fits(family: int, data: st.DataObject) -> None:
    """It holds the address, lies within the range, and its parent does not."""
    bits = 32 if family == 4 else 128
    first, last = sorted(data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=2, max_size=2)))
    value = data.draw(st.integers(first, last))
    start, length = network_around(family, first, last, value)
    size = 1 << bits - length
    assert start % size == 0
    assert first <= start <= value < start + size <= last + 1
    parent = value // (2 * size) * 2 * size
    assert length == 0 or parent < first or parent + 2 * size - 1 > last
    assert Address(family, start) <= Address(family, value)
