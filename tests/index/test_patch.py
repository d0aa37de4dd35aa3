"""A few changed feeds patched into segments that stand, against flattening everything anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.index.compile import Compiled, compile_index
from blocklistd.index.coverage import Source
from blocklistd.index.entries import FeedEntries, StoredEntries, encode_entries
from blocklistd.index.flatten import flatten
from blocklistd.index.layout import SECTIONS, Section, SectionReference
from blocklistd.index.patch import patch
from blocklistd.index.publish import prepare_folders, write_section
from tests.index.oracle import Oracle
from tests.index.test_flatten import END4, feed, feeds_at, intervals, same
from tests.support import networks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Ranges = list[tuple[int, int]]
versions = st.lists(feed, min_size=1, max_size=6).flatmap(
    lambda feeds: st.tuples(
        st.just(feeds),
        st.lists(st.dictionaries(st.integers(0, len(feeds) - 1), feed, min_size=1), min_size=1, max_size=4),
    )
)


@given(versions)
def test_patching_again_and_again_gives_what_flattening_gives(
    case: tuple[list[Ranges], list[dict[int, Ranges]]],
) -> None:
    """After any sequence of changes the patched segments are, array by array, those of all feeds flattened."""
    ranges, changes = case
    flat = flatten([intervals(one) for one in ranges], END4)
    for changed in changes:
        ranges = [changed.get(number, one) for number, one in enumerate(ranges)]
        flat = patch(flat, {number: intervals(one) for number, one in changed.items()}, len(ranges), END4)
        assert same(flat, flatten([intervals(one) for one in ranges], END4))
    oracle = Oracle({str(number): one for number, one in enumerate(ranges)})
    for value in oracle.edges(END4):
        assert tuple(map(str, feeds_at(flat, value))) == oracle.feeds_of(value)


@given(st.lists(feed, min_size=1, max_size=6), feed)
def test_narrow_set_numbers_are_patched_too(ranges: list[Ranges], changed: Ranges) -> None:
    """A section keeps set numbers in 16 bits where they fit; patching reads either."""
    flat = flatten([intervals(one) for one in ranges], END4)
    narrow = flat._replace(sets=flat.sets.astype(np.uint16))
    changes = {0: intervals(changed)}
    assert same(patch(narrow, changes, len(ranges), END4), patch(flat, changes, len(ranges), END4))


def test_a_large_patch_is_that_of_all_pieces_together() -> None:
    """Hundreds of thousands of segments, worked on piece by piece, give what flattening gives."""
    chance = np.random.default_rng(5)

    def many(count: int) -> Ranges:
        return [(int(start), int(start) + 3) for start in chance.integers(0, END4 - 4, count)]

    ranges = [many(60_000), many(60_000), many(3_000)]
    flat = flatten([intervals(one) for one in ranges], END4)
    ranges[2] = many(2_000)
    expected = flatten([intervals(one) for one in ranges], END4)
    assert same(patch(flat, {2: intervals(ranges[2])}, 3, END4), expected)


def test_segments_that_are_not_those_of_the_feeds_are_noticed() -> None:
    """Where sets share a token sum nothing is mixed up: patching fails."""
    flat = flatten([intervals([(0, 9)]), intervals([(5, 14)]), intervals([(20, 29)])], END4)
    with pytest.raises(ArithmeticError):
        patch(flat, {2: intervals([])}, 3, END4, random_bytes=lambda count: b"\1" * count)


def _source(folder: Path, name: str, texts: Sequence[str], exclude: tuple[str, ...] = ()) -> Source:
    entries = FeedEntries(v4=networks(4, texts), v6=networks(6, texts))
    return Source(name, "ip", write_section(folder, encode_entries(entries)).name, entries, exclude)


def _opener(folder: Path) -> Callable[[SectionReference], Section]:
    return lambda reference: Section(folder / SECTIONS / reference.name, reference)


def _compile(folder: Path, sources: Sequence[Source], former: Compiled | None = None) -> Compiled:
    compiled = (
        compile_index(sources, {}, {})
        if former is None
        else compile_index(sources, former.sections, former.ranges, _opener(folder))
    )
    for section in compiled.fresh:
        write_section(folder, section)
    return compiled


def _unwanted() -> Section:
    raise AssertionError("entries of a feed that did not change were opened")


def _stored(sources: Sequence[Source], changed: str) -> list[Source]:
    """The same sources, of which only the changed one has entries at hand."""
    return [one if one.id == changed else replace(one, entries=StoredEntries.of(_unwanted)) for one in sources]


FILLING = [f"198.51.100.{number}" for number in range(0, 256, 2)]


def test_a_changed_list_is_compiled_without_opening_the_others(tmp_path: Path) -> None:
    """The sections after one list changed are those of a full compile, and no other list was looked at."""
    prepare_folders(tmp_path)
    before = [_source(tmp_path, "large", FILLING), _source(tmp_path, "small", ["192.0.2.0/28"])]
    former = _compile(tmp_path, before)
    after = [before[0], _source(tmp_path, "small", ["192.0.2.8/29", "198.51.100.0/31"])]
    warm = _compile(tmp_path, _stored(after, "small"), former)
    full = _compile(tmp_path, after)
    assert warm.sections == full.sections
    assert warm.ranges == full.ranges
    assert [section.reference.name.partition("-")[0] for section in warm.fresh] == ["v4"]


def test_a_list_that_gains_ipv6_has_both_families_made_anew(tmp_path: Path) -> None:
    """IPv6 is used again only where what changed has none and had none."""
    prepare_folders(tmp_path)
    before = [_source(tmp_path, "large", [*FILLING, "2001:db8::/48"]), _source(tmp_path, "small", ["192.0.2.0/28"])]
    former = _compile(tmp_path, before)
    for texts in (["192.0.2.0/28", "2001:db8::/64"], ["192.0.2.0/28"]):
        after = [before[0], _source(tmp_path, "small", texts)]
        former, full = _compile(tmp_path, after, former), _compile(tmp_path, after)
        assert former.sections == full.sections
        assert former.ranges == full.ranges


def test_a_feed_changes_with_what_it_excludes(tmp_path: Path) -> None:
    """Where a list is taken out of another, both are patched when the first one changes."""
    prepare_folders(tmp_path)
    large, out = _source(tmp_path, "large", FILLING), _source(tmp_path, "out", ["192.0.2.4"])
    before = [large, out, _source(tmp_path, "rest", ["192.0.2.0/28"], ("out", "bogons"))]
    former = _compile(tmp_path, before)
    before[1] = _source(tmp_path, "out", ["192.0.2.8/29"])
    warm, full = _compile(tmp_path, before, former), _compile(tmp_path, before)
    assert warm.sections == full.sections
    assert warm.ranges == full.ranges


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_without_the_former_segments_everything_is_flattened(tmp_path: Path, damage: str) -> None:
    """A former section that is gone or damaged costs time, not the compile."""
    prepare_folders(tmp_path)
    before = [_source(tmp_path, "large", FILLING), _source(tmp_path, "small", ["192.0.2.0/28"])]
    former = _compile(tmp_path, before)
    path = tmp_path / SECTIONS / former.sections["v4"].name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-64])
    after = [before[0], _source(tmp_path, "small", ["192.0.2.8/29"])]
    assert _compile(tmp_path, after, former).sections == _compile(tmp_path, after).sections


def test_another_order_or_number_of_feeds_is_flattened(tmp_path: Path) -> None:
    """Sets name feeds by position, so a catalogue with other feeds in it starts anew."""
    prepare_folders(tmp_path)
    before = [_source(tmp_path, "large", FILLING), _source(tmp_path, "small", ["192.0.2.0/28"])]
    former = _compile(tmp_path, before)
    for after in (before[::-1], before[:1], [*before, _source(tmp_path, "new", ["203.0.113.1"])]):
        assert _compile(tmp_path, after, former).sections == _compile(tmp_path, after).sections


def test_stored_entries_are_opened_once_and_can_be_replaced(tmp_path: Path) -> None:
    """They read like any other entries, and a copy with other names keeps the rest."""
    prepare_folders(tmp_path)
    reference = write_section(tmp_path, encode_entries(FeedEntries(v4=networks(4, FILLING), domains=("a.example",))))
    opened: list[str] = []

    def open_section() -> Section:
        opened.append(reference.name)
        return _opener(tmp_path)(reference)

    stored = StoredEntries.of(open_section)
    assert opened == []
    assert len(stored.v4) == len(FILLING)
    assert stored.domains == ("a.example",)
    assert opened == [reference.name]
    assert replace(stored, domains=("b.example",)).v4 is stored.v4
    with pytest.raises(AttributeError):
        stored.nothing  # type: ignore[attr-defined]  # noqa: B018  # looking is the test
