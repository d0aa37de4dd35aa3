"""A provider on loopback and a data folder behind it, for what the versions of feeds do one after the other.

Passes cost a second each, so the stories of many feeds are told together: ``tell`` makes as many passes as the longest
of them has chapters, and gives what every feed went through.
"""

from __future__ import annotations

import asyncio
import io
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocklistd import Snapshot
from blocklistd.catalogue import read_catalogue
from blocklistd.cli.progress import Lines
from blocklistd.collect.state import FeedState, read_state
from blocklistd.refresh.cycle import refresh
from blocklistd.settings import Settings, read_settings
from blocklistd.state.audit import Actor
from blocklistd.state.database import Database
from blocklistd.state.quarantine import Choice, Quarantined, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from blocklistd.refresh.measure import Canary
    from blocklistd.refresh.report import FeedResult, RefreshReport

    Step = Callable[["Desk", str], None]


def addresses(count: int, start: int = 0) -> list[str]:
    """So many addresses of the space for benchmarks, from the ``start``-th on."""
    return [f"198.{18 + n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(start, start + count)]


class Desk:
    """One operator's view: feeds at a provider, passes over them, and what is answered."""

    def __init__(self, folder: Path, lists: Path, server: str) -> None:
        self.lists, self.server = lists, server
        self.data = folder / "data"
        self.feeds: dict[str, dict[str, str]] = {}
        self.log = io.StringIO()

    def feed(self, feed_id: str = "list", **fields: str) -> None:
        """Declare a feed, or declare it anew."""
        self.feeds[feed_id] = {"url": f"{self.server}/{feed_id}", "format": "lines", "category": "attacker", **fields}

    def put(self, body: Iterable[str] | bytes, feed_id: str = "list") -> None:
        """What the provider gives out from now on, under a validator of its own."""
        path = self.lists / feed_id
        path.unlink(missing_ok=True)
        path.write_bytes(body if isinstance(body, bytes) else ("\n".join(body) + "\n").encode())

    @property
    def settings(self) -> Settings:
        return read_settings({"data": str(self.data)}, {})

    def refresh(self, *, force: bool = True, canaries: tuple[Canary, ...] | None = None) -> RefreshReport:
        """One pass."""
        rows = [f"  - {{id: {name}, {', '.join(f'{k}: {v}' for k, v in f.items())}}}" for name, f in self.feeds.items()]
        catalogue = read_catalogue("feeds:\n" + "\n".join(rows) + "\n", "feeds.yaml")
        with Lines(self.log) as listener:
            return asyncio.run(refresh(catalogue, self.settings, listener, force=force, canaries=canaries))

    def bring(self, body: Iterable[str] | bytes) -> FeedResult:
        """The provider has this now; a pass; what came of it."""
        self.put(body)
        return self.refresh().feeds[0]

    def state(self, feed_id: str = "list") -> FeedState:
        return read_state(self.data, feed_id)

    def listed(self, ips: Iterable[str], feed_id: str = "list") -> list[str]:
        """Which of the addresses a feed names, says the published snapshot."""
        with Snapshot.open_current(self.data) as snapshot:
            return [ip for ip in ips if feed_id in snapshot.lookup(ip).feeds]

    def decide(self, choice: Choice, feed_id: str = "list") -> None:
        """Accept or reject what is held, as ``ana``."""
        held = self.state(feed_id).held
        assert held is not None
        with Database.open(self.data) as database:
            body = Quarantined(feed_id, held.digest, held.reason, held.since, choice, "ana", "looked", time.time())
            decide(database, body, Actor("ana", "command line"))


@dataclass(frozen=True)
class Story:
    """One feed and what happens to it: before each pass the steps of a chapter. asked: what is looked up after it."""

    chapters: tuple[tuple[Step, ...], ...]
    asked: tuple[str, ...]
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """A feed after a pass: what came of it, its stored state, and which of the story's addresses it names."""

    result: FeedResult
    state: FeedState
    named: list[str]


def put(body: Iterable[str] | bytes) -> Step:
    """The provider has this from now on."""
    content = body if isinstance(body, bytes) else list(body)
    return lambda desk, feed: desk.put(content, feed)


def gone(desk: Desk, feed: str) -> None:
    """The provider has nothing any more."""
    (desk.lists / feed).unlink()


def declare(**fields: str) -> Step:
    """The operator edits the feed."""
    return lambda desk, feed: desk.feed(feed, **fields)


def choose(choice: Choice) -> Step:
    """The operator decides about what is held."""
    return lambda desk, feed: desk.decide(choice, feed)


def damage(desk: Desk, feed: str) -> None:
    """Other bytes stand where the held body was."""
    held = desk.state(feed).held
    assert held is not None
    held.parts[0].path.write_bytes(b"192.0.2.66\n")


def tell(desk: Desk, stories: Mapping[str, Story], canaries: tuple[Canary, ...]) -> dict[str, list[Moment]]:
    """All stories at once; after its last chapter nothing happens to a feed any more."""
    for name, story in stories.items():
        desk.feed(name, **story.fields)
    moments: dict[str, list[Moment]] = {name: [] for name in stories}
    for number in range(max(len(story.chapters) for story in stories.values())):
        for name, story in stories.items():
            for step in story.chapters[number] if number < len(story.chapters) else ():
                step(desk, name)
        results = {result.feed: result for result in desk.refresh(canaries=canaries).feeds}
        for name, story in stories.items():
            moments[name].append(Moment(results[name], desk.state(name), desk.listed(story.asked, name)))
    return moments
