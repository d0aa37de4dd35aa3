"""When the daemon says it is ready, and how a quarantine shows."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from blocklistd.collect.state import FeedState, Held, Part, bodies, write_state
from blocklistd.web.app import make_app
from blocklistd.web.feeds import FeedStatus
from blocklistd.web.ready import ReadyRule, shortcoming
from tests.support import make_snapshot
from tests.web.conftest import make_service

if TYPE_CHECKING:
    from pytest_aiohttp.plugin import AiohttpClient

DIGEST = "0123456789abcdef" * 4
FRESH = FeedStatus("a", in_snapshot=True)
STALE = FeedStatus("b", in_snapshot=True, stale=True)
DROPPED = FeedStatus("c", in_snapshot=True, stale=True, dropped=True)
MISSING = FeedStatus("d")


@pytest.mark.parametrize(
    ("rule", "feeds", "reason"),
    [
        (ReadyRule(), (FRESH,), ""),
        (ReadyRule(), (STALE, DROPPED), ""),  # an old answer is better than none
        (ReadyRule(), (DROPPED, MISSING), "older than its drop_after"),
        (ReadyRule(), (), "older than its drop_after"),
        (ReadyRule(("a",)), (FRESH, STALE), ""),
        (ReadyRule(("a", "b", "d", "e")), (FRESH, STALE, MISSING), "Not fresh: b, d, e (no such feed);"),
        (ReadyRule(share=0.5), (FRESH, STALE), ""),
        (ReadyRule(share=0.51), (FRESH, STALE), "Only 1 of 2 feeds are fresh"),
        (ReadyRule(share=1.0), (FRESH, MISSING), "Only 1 of 2 feeds are fresh"),
    ],
)
def test_ready_is_what_the_operator_asks(rule: ReadyRule, feeds: tuple[FeedStatus, ...], reason: str) -> None:
    """A snapshot with any feed that still counts; more where feeds or a share are asked for."""
    found = shortcoming(rule, feeds)
    assert reason in found
    assert bool(reason) == bool(found)


def quarantined(data: Path, feed: str, *, rejected: bool = False, succeeded: float) -> FeedState:
    part = Part("https://lists.example/a", bodies(data) / f"{feed}.0.{DIGEST[:16]}.body", 12, DIGEST)
    held = Held((part,), DIGEST, "shrink", "has lost 60 % of 300 entries", 120, 1_700_000_000.0, succeeded, rejected)
    return FeedState(feed, outcome="quarantined", reason=held.reason, succeeded_at=succeeded, held=held)


async def test_a_quarantine_shows_everywhere(tmp_path: Path, aiohttp_client: AiohttpClient) -> None:
    """In the feed's object, in its metrics and in /readyz, until the operator has decided."""
    make_snapshot(tmp_path, {"one": ["192.0.2.1"], "two": ["192.0.2.2"], "three": ["192.0.2.3"]})
    bodies(tmp_path).mkdir()
    now = time.time()
    write_state(tmp_path, quarantined(tmp_path, "one", succeeded=now - 60))
    write_state(tmp_path, quarantined(tmp_path, "two", rejected=True, succeeded=now - 60))
    write_state(tmp_path, replace(FeedState("three"), succeeded_at=now, frozen_since=1_600_000_000.0))
    client = await aiohttp_client(make_app(make_service(tmp_path)))
    one, two, three = [await (await client.get(f"/v1/feeds/{name}")).json() for name in ("one", "two", "three")]
    assert (one["state"], one["verdict"]) == ("quarantined", "quarantined")
    assert one["quarantine"] == {
        "check": "shrink",
        "reason": "has lost 60 % of 300 entries",
        "since": "2023-11-14T22:13:20Z",
        "entries": 120,
        "digest": DIGEST,
    }
    assert two["quarantine"] is None
    assert (one["frozen_since"], three["frozen_since"]) == (None, "2020-09-13T12:26:40Z")
    ready = await (await client.get("/readyz")).json()
    assert (ready["fresh_feeds"], ready["quarantined_feeds"]) == (3, ["one"])
    text = await (await client.get("/metrics")).text()
    samples = {
        (sample.name, sample.labels.get("feed")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert [samples["blocklistd_feed_quarantined", name] for name in ("one", "two", "three")] == [1, 0, 0]
    assert [samples["blocklistd_feed_frozen", name] for name in ("one", "two", "three")] == [0, 0, 1]
    assert samples["blocklistd_feed_dropped", "one"] == 0


async def test_not_ready_says_which_feed_is_missing(tmp_path: Path, aiohttp_client: AiohttpClient) -> None:
    """The sentence names it; lookups are answered all the same."""
    make_snapshot(tmp_path, {"one": ["192.0.2.1"]}, built_at=time.time() - 5 * 86400)
    service = make_service(tmp_path)
    client = await aiohttp_client(make_app(service))
    assert (await client.get("/readyz")).status == 200
    service.ready = ReadyRule(("one",))
    refused = await client.get("/readyz")
    assert refused.status == 503
    assert "Not fresh: one" in (await refused.json())["detail"]
    assert (await (await client.get("/v1/ip/192.0.2.1")).json())["listed"] is True


async def test_nothing_that_counts_is_not_ready(tmp_path: Path, aiohttp_client: AiohttpClient) -> None:
    """Where every feed was dropped all answers would be no, so traffic goes elsewhere."""
    make_snapshot(tmp_path, {"one": ["192.0.2.1"]}, built_at=time.time() - 31 * 86400)
    client = await aiohttp_client(make_app(make_service(tmp_path)))
    assert (await client.get("/readyz")).status == 503
