"""Small real data for tests: snapshots made with the program's own writer from a few addresses."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from blocklistd.addresses import parse_entry
from blocklistd.index.compile import compile_index
from blocklistd.index.coverage import Source
from blocklistd.index.entries import FeedEntries, encode_entries
from blocklistd.index.names import mail_digest
from blocklistd.index.publish import next_generation, prepare_folders, publish, write_section
from blocklistd.index.record import FeedRecord
from blocklistd.index.seen import ON_LIST
from blocklistd.index.seen_sections import encode_stretches
from blocklistd.index.stretches import Stretches
from blocklistd.networks import Networks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SECRET = b"the key of a test's digests"


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


def _table(kind: str, rows: Mapping[str, tuple[int, str]]) -> FeedEntries:
    """The entries of an ASN or country table; networks in any order."""
    texts = ("", *sorted({text for _, text in rows.values()}))
    columns = {}
    for family in (4, 6):
        own = {(e.first, -e.last): row for net, row in rows.items() if (e := parse_entry(net)) and e.family == family}
        ordered = [own[key] for key in sorted(own)]
        named = np.array([texts.index(text) for _, text in ordered], np.uint32)
        numbers = np.array([number for number, _ in ordered], np.uint32)
        columns[family] = {"asn": numbers, "name": named} if kind == "asn_table" else {"country": named}
    four, six = networks(4, list(rows)), networks(6, list(rows))
    return FeedEntries(
        v4=Networks(4, four.first, four.last, columns[4]),
        v6=Networks(6, six.first, six.last, columns[6]),
        texts=texts,
    )


def _stretches(family: int, entries: FeedEntries, gone: Mapping[str, tuple[int, int]], now: int) -> Stretches:
    """What is on the list since now, and what has left it."""
    listed, left = entries.v4 if family == 4 else entries.v6, networks(family, list(gone))
    bounds = {
        (e.first, -e.last): times for net, times in gone.items() if (e := parse_entry(net)) and e.family == family
    }
    times = [(now, ON_LIST)] * len(listed) + [bounds[key] for key in sorted(bounds)]
    first, last = (np.concatenate([getattr(listed, end), getattr(left, end)]) for end in ("first", "last"))
    order = np.lexsort((first[:, 1], first[:, 0])) if family == 6 else np.argsort(first)
    held = np.array([False] * len(listed) + [True] * len(left), np.bool_)[order]
    since, until = (np.array([pair[end] for pair in times], np.uint32)[order] for end in (0, 1))
    return Stretches(family, first[order], last[order], since, until, held)


def make_snapshot(
    data: Path,
    feeds: Mapping[str, Sequence[str]],
    *,
    domains: Mapping[str, Sequence[str]] | None = None,
    mails: Mapping[str, Sequence[str]] | None = None,
    systems: Mapping[str, tuple[int, str]] | None = None,
    countries: Mapping[str, str] | None = None,
    described: Mapping[str, Mapping[str, Any]] | None = None,
    kept: Mapping[str, Mapping[str, tuple[int, int]]] | None = None,
    built_at: float | None = None,
    dated: float = 0.0,
) -> str:
    """Publish a snapshot in which every feed holds the given networks (or domains, or mail addresses); give its id.

    systems, countries: tables, network → (ASN, name) and network → country. described: feed → fields of its record.
    kept: feed → network that has left the list → first and last seen. dated: the date that every list bears, unix time.
    """
    prepare_folders(data)
    moment = time.time() if built_at is None else built_at
    sources, records = [], []
    named, mailed = domains or {}, mails or {}
    if mailed:
        (data / "secret").write_bytes(SECRET)
    for feed_id in (*feeds, *named, *mailed):
        texts = feeds.get(feed_id, ())
        names = tuple(sorted(named.get(feed_id, ())))
        digests = b"".join(sorted(mail_digest(address, SECRET) for address in mailed.get(feed_id, ())))
        entries = FeedEntries(v4=networks(4, texts), v6=networks(6, texts), domains=names, mails=digests)
        reference = write_section(data, encode_entries(entries))
        kind = "domain" if feed_id in named else "email" if feed_id in mailed else "ip"
        gone = (kept or {}).get(feed_id, {})
        covers = replace(entries, v4=networks(4, [*texts, *gone]), v6=networks(6, [*texts, *gone]))
        sources.append(Source(feed_id, kind, reference.name, covers))
        seen = None
        if gone:
            stretches = [_stretches(family, entries, gone, int(moment)) for family in (4, 6)]
            seen = write_section(data, encode_stretches(stretches))
        count = len(texts) + len(names) + len(mailed.get(feed_id, ()))
        record = FeedRecord(
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
            seen=seen,
        )
        records.append(replace(record, **(described or {}).get(feed_id, {})))
    for kind, rows in (
        ("asn_table", systems or {}),
        ("country_table", {network: (0, code) for network, code in (countries or {}).items()}),
    ):
        entries = _table(kind, rows)
        sources.append(Source(kind, kind, write_section(data, encode_entries(entries)).name, entries))
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
