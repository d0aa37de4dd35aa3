"""A version of a list that cannot be believed does not go into force: over real passes and a provider on loopback."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from blocklistd.addresses import parse_address
from blocklistd.collect.gate import ACCUSING, frozen_since
from blocklistd.collect.model import Accepted, ParsedFeed, Refused, Verdict
from blocklistd.collect.parse import parse_feed
from blocklistd.collect.past import Past, Version, remember
from blocklistd.collect.vet import vet
from blocklistd.index.entries import FeedEntries
from blocklistd.refresh.canaries import read_canaries
from blocklistd.refresh.measure import Canary, measure, named, overlap
from tests.acceptance.static_server import serving
from tests.collect.feeds import make_feed
from tests.corpus import CATEGORIES, CORPUS, manifest, reading_of
from tests.refresh.gated import Desk, Moment, Story, addresses, choose, damage, declare, gone, put, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.refresh.gated import Step

    Test = Callable[..., None]

GOOD = addresses(300)
CUT = GOOD[:100]
FARTHER = (*addresses(20, start=5000), "8.8.8.8", "192.0.2.80", "203.0.113.1", "198.16.0.1", "192.0.2.66")
ASKED = (*addresses(400), *FARTHER)
HTML = b"<!doctype html><html><body><h1>Just a moment</h1>198.18.0.1</body></html>\n"
OWN = Canary(4, parse_address("192.0.2.80").value, "192.0.2.80 (an address of this host)")

corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real lists lies beside the repository")
STORIES: dict[str, Story] = {}


def story(*chapters: Step | tuple[Step, ...], asked: tuple[str, ...] = ASKED, **fields: str) -> Callable[[Test], Test]:
    """Tell this of a feed named after the test, which then looks at what became of it."""

    def note(test: Test) -> Test:
        whole = tuple(steps if isinstance(steps, tuple) else (steps,) for steps in chapters)
        STORIES[test.__name__.removeprefix("test_")] = Story(whole, asked, fields)
        return test

    return note


BAD: dict[str, tuple[list[str] | bytes, str, str]] = {
    "half_gone": (GOOD[:150], "quarantined", "has lost 50 % of 300 entries"),
    "ten_times": (addresses(3000), "quarantined", "has grown from 300 to 3,000 entries"),
    "resolver": ([*GOOD, "8.8.8.8"], "quarantined", "names 8.8.8.8 (resolver of Google Public DNS)"),
    "resolver6": ([*GOOD, "2606:4700:4700::/48"], "quarantined", "names 2606:4700:4700::1111 (resolver of Cloudflare)"),
    "own": ([*GOOD, "192.0.2.80"], "quarantined", "names 192.0.2.80 (an address of this host)"),
    "everything_too": ([*GOOD, "0.0.0.0/0"], "quarantined", "holds 1 entry too wide to be taken"),
    "everything": (["0.0.0.0/0"], "refused", "all 1 entries are too wide"),
    "wide": ([*GOOD, "198.16.0.0/14"], "quarantined", "has grown from 300 to 262,144 IPv4 addresses"),
    "another": (addresses(300, start=5000), "quarantined", "has 0 % in common with the version before"),
    "rejects": ([*GOOD, *["Slow down, please"] * 60], "quarantined", "17 % of its lines are no entry, usually 0 %"),
    "html": (HTML, "refused", "HTML instead of a list"),
    "limit": (b"Umm... You can only fetch the data every 30 minutes - sorry.\n", "refused", "prose instead of a list"),
    "empty": (b"", "refused", "empty"),
}
"""What a provider may send after a good list of 300 addresses: body, what becomes of it, and why."""
BETTER = [*GOOD[:280], *addresses(10, start=300)]
STORIES |= {
    f"bad_{name}": Story(((put(GOOD),), (put(body),), (put(BETTER),)), ASKED) for name, (body, _, _) in BAD.items()
}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    lists = tmp_path_factory.mktemp("provider")
    with serving(lists) as server:
        yield lists, server


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, provider: tuple[Path, str]) -> tuple[Desk, dict[str, list[Moment]]]:
    desk = Desk(tmp_path_factory.mktemp("told"), *provider)
    return desk, tell(desk, STORIES, (*read_canaries(), OWN))


@pytest.fixture
def moments(request: pytest.FixtureRequest, told: tuple[Desk, dict[str, list[Moment]]]) -> list[Moment]:
    """The feed of this very test after each pass."""
    return told[1][request.function.__name__.removeprefix("test_")]


@pytest.fixture
def desk(tmp_path: Path, provider: tuple[Path, str]) -> Desk:
    """A data folder and a feed of this test alone."""
    desk = Desk(tmp_path, *provider)
    desk.feed()
    return desk


@pytest.mark.parametrize("name", BAD)
def test_a_version_that_cannot_be_believed_changes_no_answer(
    told: tuple[Desk, dict[str, list[Moment]]], name: str
) -> None:
    """It is held or refused with its reason, the one before answers on, and the next good one goes into force."""
    desk, (good, bad, better) = told[0], told[1][f"bad_{name}"][:3]
    _, state, reason = BAD[name]
    assert good.named == GOOD
    assert bad.result.state == state
    assert reason in bad.result.reason
    assert bad.result.reason in desk.log.getvalue()
    assert (bad.result.entries, bad.named) == (300, GOOD)
    assert (bad.state.held is not None) == (state == "quarantined")
    assert better.result.state == "updated"
    assert better.state.held is None
    assert better.named == BETTER
    assert len(list((desk.data / "bodies").glob(f"bad_{name}.*.body"))) == 1


@story(put(GOOD), put(CUT), ())
def test_what_is_held_stays_held_until_somebody_decides(moments: list[Moment]) -> None:
    """Another pass changes nothing; the provider is asked on schedule, and does not send the body again."""
    _, first, again = moments[:3]
    assert first.result.bytes
    assert (again.result.state, again.result.bytes) == ("quarantined", 0)
    assert (again.result.reason, again.state.failures) == (first.result.reason, 0)
    held = again.state.held
    assert held is not None
    assert (held.check, held.entries) == ("shrink", 100)
    assert again.state.succeeded_at < held.since < held.seen_at
    assert again.named == GOOD


@story(put(GOOD), put(CUT), (choose("accept"), gone), put(GOOD[:90]), put(GOOD))
def test_an_accepted_version_goes_into_force_without_fetching(moments: list[Moment]) -> None:
    """The provider may be gone; later versions are compared with the accepted one."""
    accepted = moments[2]
    assert (accepted.result.state, accepted.result.entries) == ("updated", 100)
    assert accepted.result.reason == "accepted by ana: looked"
    assert accepted.named == CUT
    assert accepted.state.held is None
    assert [version.unique for version in accepted.state.past] == [100]
    assert [moment.result.state for moment in moments[3:5]] == ["updated", "quarantined"]


@story(put(GOOD), put(CUT), choose("reject"), put(GOOD[:101]), put(CUT), choose("accept"))
def test_a_rejected_version_is_never_asked_about_again(moments: list[Moment]) -> None:
    """Also when it comes back after another one; the next version is judged by itself, and minds may change."""
    _, _, rejected, other, back, accepted = moments[:6]
    assert (rejected.result.state, rejected.result.reason) == ("refused", "rejected by ana: looked")
    assert rejected.result.bytes == 0
    assert rejected.state.held is not None
    assert rejected.state.held.rejected
    assert rejected.state.held.entries == len(CUT), "who decides again is told how much it was"
    assert other.result.state == "quarantined"
    assert (back.result.state, back.named) == ("refused", GOOD)
    assert (accepted.result.state, accepted.named) == ("updated", CUT)


@story(put(GOOD), put(CUT), put(GOOD))
def test_going_back_to_the_version_in_force_lifts_the_quarantine(moments: list[Moment]) -> None:
    """Nothing is left of the bad one."""
    back = moments[2]
    assert (back.result.state, back.result.change) == ("unchanged", 0)
    assert back.state.held is None
    assert back.named == GOOD


@story(put([*GOOD, "8.8.8.8"]), choose("accept"), put([*GOOD[1:], "8.8.8.8"]), put([*GOOD, "8.8.8.8", "1.1.1.1"]))
def test_a_first_version_is_judged_by_what_needs_no_past(moments: list[Moment]) -> None:
    """A resolver on it holds it back until the operator accepts; after that the resolver is known."""
    first, accepted, second, third = moments[:4]
    assert (first.result.state, first.result.entries, first.named) == ("quarantined", 0, [])
    assert accepted.named == [*GOOD, "8.8.8.8"]
    assert second.result.state == "updated"
    assert "names 1.1.1.1" in third.result.reason
    assert "8.8.8.8" not in third.result.reason


@story(put([*GOOD, "8.8.8.0/24"]), category="hosting")
def test_a_list_that_accuses_nobody_may_name_a_resolver(moments: list[Moment]) -> None:
    """A hosting list rightly covers them."""
    assert moments[0].result.state == "updated"


@story(put([f"{first}.0.0.0/8" for first in range(20, 60)]), allow_wide="true")
def test_most_of_the_address_space_is_never_believed(moments: list[Moment]) -> None:
    """However it is written, also by the first version."""
    assert moments[0].result.state == "quarantined"
    assert "covers 16 % of IPv4, up to 5 % is believed" in moments[0].result.reason


@story(put(GOOD), put(CUT), declare(gate="{shrink: 70%}"), (declare(gate="none"), put(addresses(3000, start=9000))))
def test_another_band_lets_a_held_version_through(moments: list[Moment]) -> None:
    """Who widens a band in feeds.yaml does not need to accept as well; ``none`` asks nothing."""
    assert [moment.result.state for moment in moments[:4]] == ["updated", "quarantined", "updated", "updated"]
    assert moments[2].named == CUT


def lose_state(desk: Desk, feed: str) -> None:
    """A power cut took what was known of the feed; the snapshot is still there."""
    (desk.data / "bodies" / f"{feed}.json").write_bytes(b"")


@story(put(GOOD), (lose_state, put(CUT)))
def test_where_the_past_is_lost_the_version_in_force_stands_for_it(moments: list[Moment]) -> None:
    """So a lost state is no way into force for what cannot be believed."""
    assert moments[1].result.state == "quarantined"
    assert "has lost 67 % of 300 entries" in moments[1].result.reason
    assert moments[1].named == GOOD


COLUMNS = "{address: 1, count: 2}"


@story(
    put([f"{address},{number}" for number, address in enumerate(GOOD)]),
    declare(format="csv", columns=COLUMNS, min_count="250"),
    format="csv",
    columns=COLUMNS,
)
def test_another_way_of_reading_begins_another_past(moments: list[Moment]) -> None:
    """An edit of the feed that gives other entries is no fault of the provider."""
    assert (moments[1].result.state, moments[1].result.entries) == ("unchanged", 50)
    assert [version.unique for version in moments[1].state.past] == [50]


@story(put(GOOD), put(CUT), (choose("accept"), damage))
def test_a_damaged_body_in_quarantine_is_fetched_again(moments: list[Moment]) -> None:
    """What was accepted is that body; damaged bytes are not used in its place."""
    assert (moments[2].result.state, moments[2].result.reason) == ("updated", "accepted by ana: looked")
    assert moments[2].named == CUT


@story(
    put(GOOD),
    put(CUT),
    (choose("accept"), declare(format="json", paths="['[]']"), put(json.dumps(BETTER).encode())),
)
def test_an_accepted_body_that_cannot_be_read_any_more_is_let_go(moments: list[Moment]) -> None:
    """The operator reads the feed in another way by now: the provider is asked again, not the old body for ever."""
    assert moments[2].result.state == "updated"
    assert moments[2].named == BETTER
    assert moments[2].state.held is None


DATED = "# Last updated: 2020-01-0{} 03:04:05 UTC"


@story(*(put([DATED.format(2), *GOOD[number:]]) for number in range(4)), put([DATED.format(3), *GOOD]), every="1h")
def test_a_list_that_says_nothing_new_is_called_frozen(moments: list[Moment]) -> None:
    """The date in its heading stays although its bytes change; it is told, and goes on answering."""
    date = datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
    assert [moment.state.frozen_since for moment in moments[:5]] == [0.0, 0.0, date, date, 0.0]
    assert {moment.result.state for moment in moments[:5]} == {"updated"}


TOR = [CORPUS / "history" / day / "tor-exit-nodes.lst" for day in ("2024-02-25T00", "2024-02-26T00")]
FAILURES = [CORPUS / "failures" / name for name in ("tor-nodes.EMPTY.lst", "tor-exit-nodes.RATELIMIT.lst")]


def put_file(path: Path) -> Step:
    return lambda desk, feed: desk.put(path.read_bytes() if path.exists() else b"", feed)


@corpus
@story(
    *map(put_file, (TOR[0], *FAILURES, TOR[1])),
    category="tor",
    asked=tuple(TOR[0].read_text().split()[::20]) if TOR[0].exists() else (),
)
def test_the_real_failures_change_no_answer(moments: list[Moment]) -> None:
    """A Tor list that its makers published empty, then with the words of a rate limit in it."""
    good, empty, limit, better = moments[:4]
    assert len(good.named) > 80
    assert [moment.result.state for moment in (good, empty, limit, better)] == [
        "updated",
        "refused",
        "refused",
        "updated",
    ]
    assert "empty" in empty.result.reason
    assert "prose" in limit.result.reason
    assert empty.named == limit.named == good.named
    assert better.result.entries > 1500


def test_a_quarantine_does_not_keep_an_old_list_alive(desk: Desk) -> None:
    """While the provider sends only what is not believed, the list in force goes stale and is dropped at its time."""
    desk.feed("other")
    desk.put(["192.0.2.1"], "other")
    desk.feed(stale_after="1s", drop_after="1s")
    desk.bring(GOOD)
    result = desk.bring(CUT)
    limit = datetime.now(UTC) + timedelta(seconds=30)
    while desk.listed(GOOD):
        assert datetime.now(UTC) < limit
        result = desk.bring(CUT)
    assert result.state == "quarantined"
    assert "dropped: no good fetch for 1s" in result.reason


def test_without_readable_decisions_what_is_held_stays_held(desk: Desk) -> None:
    """A broken state.db is told with the feed, nothing counts as accepted; and no sweep takes what is held."""
    desk.feeds["list"]["urls"] = f"['{desk.server}/a', '{desk.server}/b']"
    del desk.feeds["list"]["url"]
    desk.put(GOOD[:150], "a")
    desk.put(GOOD[150:], "b")
    desk.refresh()
    desk.put(["198.18.0.200"], "b")
    assert desk.refresh().feeds[0].state == "quarantined"
    held = desk.state().held
    assert held is not None
    stray = held.parts[1].path.with_name("list.0.0123456789abcdef.body")  # as a killed pass leaves it
    shutil.copy(held.parts[1].path, stray)
    desk.decide("accept")
    kept = desk.data.with_name("state.db")
    shutil.copy(desk.data / "state.db", kept)
    (desk.data / "state.db").write_bytes(b"no database " * 500)
    result = desk.refresh().feeds[0]
    assert (result.state, result.bytes) == ("quarantined", 0)
    assert "decisions about quarantined lists cannot be read" in result.reason
    assert not stray.exists()
    assert desk.listed(GOOD) == GOOD
    for path in desk.data.glob("state.db*"):
        path.unlink()
    shutil.copy(kept, desk.data / "state.db")
    desk.refresh(force=False)
    assert desk.listed(GOOD) == [*GOOD[:150], "198.18.0.200"]


@corpus
def test_versions_days_apart_of_real_lists_all_pass() -> None:
    """No false alarm among the dated versions of the corpus; over years a list may have become another."""
    rows = {row["file"]: row for row in manifest()}
    series: dict[tuple[str, str], list[str]] = {}
    for name, row in rows.items():
        if name.startswith("history/"):
            series.setdefault((row["feed_id"], name.rpartition("/")[2]), []).append(name)
    judged = 0
    for names in series.values():
        past: tuple[Version, ...] = ()
        before: FeedEntries | None = None
        for name in sorted(names):
            version, entries, verdict = judge(rows[name], past, before, moment_of(name))
            near = past and version.at - past[-1].at < 14 * 86400
            judged += bool(near)
            assert verdict == Accepted() or not near, name
            past, before = remember(past, version), entries
    assert judged >= 25


@corpus
def test_first_versions_of_real_lists_pass_but_those_that_are_no_such_lists() -> None:
    """Of all lists of the corpus only those with resolvers on them or of another meaning than theirs are held."""
    objections = {
        row["file"]: verdict
        for row in manifest()
        if row["category"] in CATEGORIES and CATEGORIES[row["category"]] in ACCUSING
        if reading_of(row["file"]).options.get("kind", "ip") == "ip" and not row["file"].startswith("history/")
        if (verdict := judge(row, (), None, 0.0)[2]) != Accepted() and not isinstance(verdict, Refused)
    }
    assert set(objections) == {
        "cps/cps-collected-iocs.txt",  # names 1.1.1.1 among command and control servers
        "cps/log4j.txt",  # names 9.9.9.11, which resolved what attackers asked
        "cps/sans.txt.gz",  # everything that ever sent a packet
        "misp/vpn-ipv4.json",  # a list of data centres under the name of VPN
    }


def moment_of(name: str) -> float:
    day, _, hour = name.split("/")[1].partition("T")
    return datetime.fromisoformat(f"{day}T{hour or '00'}:00:00+00:00").timestamp()


def judge(
    row: dict[str, str], past: tuple[Version, ...], before: FeedEntries | None, at: float
) -> tuple[Version, FeedEntries, Verdict]:
    """What a lane does with one file of the corpus."""
    options: dict[str, Any] = {"format": "lines", **reading_of(row["file"]).options}
    options.setdefault("category", "disposable" if "kind" in options else CATEGORIES.get(row["category"], "reputation"))
    feed = make_feed(**options)
    parsed: ParsedFeed = parse_feed(feed, [CORPUS / row["file"]], 0.0)
    entries = FeedEntries(v4=parsed.v4, v6=parsed.v6, domains=parsed.domains)
    version = measure(parsed)._replace(at=at)
    beside = Past(
        past,
        None if before is None else overlap(entries, before),
        at - past[-1].at if past else 0.0,
        tuple(named(read_canaries(), parsed.v4, parsed.v6)),
    )
    return version, entries, vet(feed, parsed, version, beside)


def test_a_list_that_stopped_changing_is_called_frozen() -> None:
    """Measured by its own rhythm: an hourly list after a day or so, a weekly one after months."""
    hour, day, now = 3600.0, 86400.0, 1_700_000_000.0
    version = Version._make([0.0] * len(Version._fields))

    def since(interval: float, ago: float, every: str) -> float:
        past = tuple(version._replace(at=now - ago - interval * n) for n in range(9, -1, -1))
        return frozen_since(make_feed(every=every), past, now)

    assert since(hour, 12 * hour, "1h") == 0.0
    assert since(hour, 30 * hour, "1h") == now - 30 * hour
    assert since(7 * day, 60 * day, "7d") == 0.0
    assert since(7 * day, 150 * day, "7d") == now - 150 * day
    assert frozen_since(make_feed(), (version._replace(at=1.0),) * 3, now) == 0.0
