"""Small real data for tests: snapshots made with the program's own writer from a few addresses."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from blocklistd.addresses import parse_entry
from blocklistd.index.compile import Source, compile_index
from blocklistd.index.entries import FeedEntries, encode_entries
from blocklistd.index.publish import next_generation, prepare_folders, publish, write_section
from blocklistd.index.record import FeedRecord
from blocklistd.networks import Networks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def networks(family: int, texts: Sequence[str]) -> Networks:
    """The entries of one family among texts such as ``192.0.2.0/24``, sorted as the index wants them."""
    parsed = [entry for text in texts if (entry := parse_entry(text)) is not None and entry.family == family]
    ordered = sorted({(entry.first, -entry.last) for entry in parsed})
    pairs = [(first, -negative) for first, negative in ordered]
    if family == 4:
        return Networks(4, np.array([f for f, _ in pairs], np.uint32), np.array([e for _, e in pairs], np.uint32))

    def halves(values: list[int]) -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
        return np.array([(v >> 64, v & 2**64 - 1) for v in values], np.uint64).reshape(-1, 2)

    return Networks(6, halves([f for f, _ in pairs]), halves([e for _, e in pairs]))


def make_snapshot(
    data: Path,
    feeds: Mapping[str, Sequence[str]],
    *,
    domains: Mapping[str, Sequence[str]] | None = None,
    built_at: float | None = None,
    dated: float = 0.0,
) -> str:
    """Publish a snapshot in which every feed holds the given networks (or domains); give its id.

    dated: the date that every list bears, unix time.
    """
    prepare_folders(data)
    moment = time.time() if built_at is None else built_at
    sources, records = [], []
    named = domains or {}
    for feed_id in (*feeds, *named):
        texts = feeds.get(feed_id, ())
        names = tuple(sorted(named.get(feed_id, ())))
        entries = FeedEntries(v4=networks(4, texts), v6=networks(6, texts), domains=names)
        reference = write_section(data, encode_entries(entries))
        kind = "domain" if feed_id in named else "ip"
        sources.append(Source(feed_id, kind, reference.name, entries))
        count = len(texts) + len(names)
        records.append(
            FeedRecord(
                id=feed_id,
                title=feed_id.replace("_", " "),
                kind=kind,
                category="attacker",
                provider=None,
                weight=20,
                group=None,
                includes=(),
                terms="free",
                homepage=None,
                keep=0,
                stale_after=3 * 86400,
                drop_after=30 * 86400,
                widen=None,
                entries=count,
                unique=count,
                rejected=0,
                below_minimum=0,
                wide=0,
                masked=0,
                special=0,
                rejects=(),
                v4=len(entries.v4),
                v6=len(entries.v6),
                size=0,
                fetched_at=moment,
                changed_at=moment,
                dated=dated,
                section=reference,
            ),
        )
    compiled = compile_index(sources, {}, {})
    for section in compiled.fresh:
        write_section(data, section)
    return publish(
        data,
        generation=next_generation(data),
        built_at=moment,
        sections=compiled.sections,
        feeds=records,
    )
