"""Flatten, write, open, and lookups beside pytricia, py-radix and maxminddb on the same entries and questions.

The peers name one list, the most specific; ours names all of them. Each peer is skipped, and said to be, where it is
not installed.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data import Lists, questions, text_of
from bench.measure import Row, compared, in_turns, once
from blocklistd import Snapshot
from blocklistd.index.compile import compile_index
from blocklistd.index.coverage import Source
from blocklistd.index.entries import FeedEntries
from blocklistd.index.flatten import flatten
from blocklistd.index.intervals import Intervals, merge
from blocklistd.index.layout import SECTIONS
from blocklistd.index.publish import prepare_folders, write_section
from tests.support import make_snapshot, networks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from blocklistd.index.layout import EncodedSection

FLATTENED = 1_000_000
"""So many IPv4 ranges are flattened."""


def rows(lists: Lists, data: Path) -> Iterator[Row]:
    """Compile into ``data``, then ask."""
    intervals = _many_intervals()
    yield once(
        "compile",
        f"flatten {FLATTENED:,} ranges of {len(intervals)} feeds",
        lambda: flatten(intervals, 2**32),
    )
    sources = [
        Source(name, "ip", name, FeedEntries(v4=networks(4, texts), v6=networks(6, texts)))
        for name, texts in lists.feeds.items()
    ]
    count = sum(map(len, lists.feeds.values()))
    compiling = f"compile {count:,} entries of {len(sources)} feeds"
    yield once("compile", compiling, lambda: compile_index(sources, {}, {}))
    fresh = compile_index(sources, {}, {}).fresh
    yield once("compile", "write their sections, synced to disk", lambda: _write(fresh, data / "scratch"))
    make_snapshot(data, lists.feeds)
    yield once("compile", "open, verified", lambda: Snapshot.open_current(data).close(), rounds=9)
    with Snapshot.open_current(data) as snapshot:
        for family in (4, 6):
            asked = questions(lists, family)
            peers, missing = _peers(lists, family, data)
            name = f"lookup v{family}"
            ours: dict[str, Callable[[], int]] = {"blocklistd lookup, text": each(snapshot.lookup, asked)}
            yield from compared(name, in_turns(ours | {key: each(ask, asked) for key, ask in peers.items()}))
            yield from (Row(name, peer, 0, "", note="not installed: not measured") for peer in missing)
            yield from compared(f"many v{family}", in_turns(_bulk(snapshot, asked, family)))


def _write(sections: Sequence[EncodedSection], folder: Path) -> None:
    prepare_folders(folder)
    for section in sections:
        (folder / SECTIONS / section.reference.name).unlink(missing_ok=True)
        write_section(folder, section)


def _many_intervals() -> list[Intervals]:
    chance = np.random.default_rng(4)
    feeds = []
    for _ in range(100):
        start = chance.integers(2**24, 2**32 - 2**24, FLATTENED // 100)
        size = 2 ** chance.choice([0, 0, 0, 0, 2, 8, 10], FLATTENED // 100)
        feeds.append(merge(Intervals(start, start + size)))
    return feeds


def each(ask: Callable[[str], object], asked: list[str]) -> Callable[[], int]:
    """Work for ``in_turns``: ask every question singly."""

    def work() -> int:
        for question in asked:
            ask(question)
        return len(asked)

    return work


def _bulk(snapshot: Snapshot, asked: list[str], family: int) -> dict[str, Callable[[], int]]:
    numbers = [int(ipaddress.ip_address(text)) for text in asked]
    ways: dict[str, list[Any]] = {"blocklistd lookup_many, text": asked, "blocklistd lookup_many, numbers": numbers}
    if family == 4:
        ways["blocklistd lookup_many, sorted numbers"] = sorted(numbers)

    def work(batch: list[Any]) -> Callable[[], int]:
        return lambda: len(snapshot.lookup_many(batch))

    return {name: work(batch) for name, batch in ways.items()}


def _peers(lists: Lists, family: int, folder: Path) -> tuple[dict[str, Callable[[str], object]], list[str]]:
    """The lookup function of every peer that is installed, loaded with the same networks; and who is missing."""
    distinct = lists.four if family == 4 else lists.six
    feed_of = {text: name for name, texts in lists.feeds.items() for text in texts}
    named = [(text_of(family, network), network) for network in distinct]
    found: dict[str, Callable[[str], object]] = {}
    missing = []
    for name, load in (("pytricia", _pytricia), ("py-radix", _radix), ("maxminddb", _maxminddb)):
        try:
            found[name] = load(family, [(text, network, feed_of[text]) for text, network in named], folder)
        except ImportError:
            missing.append(name)
    return found, missing


Named = list[tuple[str, tuple[int, int], str]]


def _pytricia(family: int, named: Named, _folder: Path) -> Callable[[str], object]:
    return load_pytricia(family, named)


def load_pytricia(family: int, named: Named) -> Callable[[str], object]:
    """The ``get`` of a tree with these networks. Raises ImportError where pytricia is not installed."""
    import pytricia

    tree = pytricia.PyTricia(32 if family == 4 else 128)
    for text, (_, length), feed in named:
        tree.insert(text.partition("/")[0], length, feed)
    get: Callable[[str], object] = tree.get
    return get


def _radix(_family: int, named: Named, _folder: Path) -> Callable[[str], object]:
    import radix

    tree = radix.Radix()
    for text, _, feed in named:
        tree.add(text).data["feed"] = feed
    best: Callable[[str], object] = tree.search_best
    return best


def _maxminddb(family: int, named: Named, folder: Path) -> Callable[[str], object]:
    import maxminddb
    from mmdb_writer import MMDBWriter
    from netaddr import IPSet

    path = folder / f"peer{family}.mmdb"
    writer = MMDBWriter(family, "measured", languages=["en"])
    for text, _, feed in named:
        writer.insert_network(IPSet([text]), {"feed": feed})
    writer.to_db_file(str(path))
    get: Callable[[str], object] = maxminddb.open_database(str(path)).get
    return get
