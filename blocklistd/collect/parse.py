"""One version of a feed, from stored bodies to ``ParsedFeed``.

Takes the feed and its bodies in the order of its URLs, gives everything they say as one list. A bad line is counted
and the first few are kept; a document that is unusable as a whole raises ``BadBody``. Pure but for reading the files
and, where no moment is given, the clock; no network. How long it may take is the business of the process that calls:
it has a deadline.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np

from blocklistd.collect.formats import FORMATS
from blocklistd.collect.formats.rows import plain_text
from blocklistd.collect.model import ParsedFeed
from blocklistd.collect.names import date_in_heading
from blocklistd.collect.tally import Tally
from blocklistd.collect.text import printable
from blocklistd.collect.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from blocklistd.catalogue.feed import Feed

OPENING: Final = 200
"""So many characters of the body are kept for the report of a refusal."""
HEADING: Final = 8192
"""A date is looked for in so many bytes at the start."""


def parse_feed(feed: Feed, bodies: Sequence[Path], now: float | None = None) -> ParsedFeed:
    """Read, unpack and parse the stored bodies of a feed, all of them within its ``max_bytes``.

    now: unix time at which entries that end by themselves must still hold, None for this very moment. Raises BadBody;
    OSError where a file cannot be read.
    """
    return parse_bodies(feed, _unpacked(feed, bodies), now)


def _unpacked(feed: Feed, bodies: Sequence[Path]) -> Iterator[bytes]:
    taken = 0
    for path in bodies:
        body = unpack(path, feed, taken)
        taken += len(body)
        yield body


def parse_bodies(feed: Feed, bodies: Iterable[bytes], now: float | None = None) -> ParsedFeed:
    """Parse unpacked bodies; ``now`` as for ``parse_feed``. Raises BadBody."""
    moment = time.time() if now is None else now
    tally = Tally(feed)
    read = FORMATS[feed.format].read
    declared: list[int] = []
    dated: list[float] = []
    opening, size, parts = "", 0, 0
    for body in bodies:
        if not opening.strip():
            opening = _opening(body)
        size += len(body)
        parts += bool(body)
        heading = date_in_heading(plain_text(body[:HEADING]).decode(errors="replace"))
        dated += [heading] if heading is not None else []
        for rows in read(body, feed, moment):
            tally.add(rows)
            declared += [rows.declared] if rows.declared is not None else []
            dated += [rows.dated] if rows.dated is not None else []
    four, six = tally.networks(4), tally.networks(6)
    words = tuple(sorted(tally.words))
    return ParsedFeed(
        feed_id=feed.id,
        counts=tally.counts(len(four) + len(six) + len(words) + len(tally.asns)),
        rejects=tuple(tally.rejects),
        v4=four,
        v6=six,
        texts=tally.texts,
        asns=np.array(sorted(tally.asns), np.uint32),
        domains=words if feed.kind == "domain" else (),
        emails=words if feed.kind == "email" else (),
        declared=sum(declared) if declared and len(declared) == parts else None,
        dated=max(dated, default=None),
        opening=opening,
        size=size,
    )


def _opening(body: bytes) -> str:
    """The first characters, each line break shown as a blank and every other control character escaped."""
    text = plain_text(body[: OPENING * 4]).decode(errors="replace")
    return printable(text.replace("\n", " ").replace("\t", " ").lstrip()[:OPENING])
