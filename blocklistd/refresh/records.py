"""What is put down about a feed once it is parsed: its record for the snapshot, and digests of what it depends on.

Takes the feed, its state and what a lane gave back; pure but for the clock.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final

from blocklistd.collect.formats import FORMATS
from blocklistd.collect.model import Counts
from blocklistd.collect.sources import digest_of
from blocklistd.index.record import FeedRecord
from blocklistd.units import counted
from blocklistd.version import VERSION

if TYPE_CHECKING:
    from blocklistd.catalogue import Feed
    from blocklistd.collect.state import FeedState, Part
    from blocklistd.index.layout import SectionReference
    from blocklistd.refresh.lane import Parsed

PARSER: Final = 1
"""Changes when the same bytes are parsed differently, so that no stored entries are used again."""


def inputs_of(feed: Feed, parts: tuple[Part, ...], secret: bytes) -> str:
    """Digest of everything a feed's entries depend on: its bytes, how they are read, and by which parser.

    For some formats also when: bans run out although their database does not change.
    """
    keyed = hashlib.sha256(secret).hexdigest() if feed.kind == "email" else ""
    minute = str(int(time.time() // 60)) if FORMATS[feed.format].timed else ""
    text = "\n".join([str(PARSER), VERSION, feed.parse_key, keyed, minute, *(part.digest for part in parts)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def past_key_of(feed: Feed) -> str:
    """Digest of where a feed comes from and how it is read: only versions of one key can be compared."""
    return digest_of([feed.parse_key, *feed.urls])


def about_rejects(record: FeedRecord) -> str:
    """What a person should know of a list that came in, but not whole."""
    if not record.rejected:
        return ""
    line, text, why = record.rejects[0] if record.rejects else (0, "", "")
    example = f": line {line} {text!r} {why}" if line else ""
    return f"{counted(record.rejected, 'line')} refused{example}"


def new_record(feed: Feed, state: FeedState, parsed: Parsed, section: SectionReference) -> FeedRecord:
    """The record of freshly parsed entries; how much they cover is known after compiling."""
    return FeedRecord(
        **described(feed),
        **asdict(parsed.counts),
        rejects=tuple((reject.line, reject.text, reject.reason) for reject in parsed.rejects),
        v4=0,
        v6=0,
        size=parsed.size,
        fetched_at=state.succeeded_at,
        changed_at=state.changed_at,
        dated=parsed.dated or 0.0,
        section=section,
    )


def counts_of(record: FeedRecord) -> Counts:
    """What parsing its entries met."""
    return Counts(**{field.name: getattr(record, field.name) for field in fields(Counts)})


def described(feed: Feed) -> dict[str, Any]:
    """What the catalogue says of a feed, as far as answers need it."""
    names = ("id", "kind", "category", "provider", "weight", "group", "includes", "terms", "homepage", "keep")
    described = {name: getattr(feed, name) for name in (*names, "stale_after", "drop_after", "widen")}
    return described | {"title": feed.title or feed.id}
