"""Is this version of a feed fit for use? Pure: values in, a verdict out.

Takes a parsed feed, and the version in numbers beside the feed's past; gives ``Accepted``, ``Refused`` or
``Quarantined`` with the reason in words. Refused is what is no list at all (an error page, prose, nothing);
quarantined what is one, but cannot be believed (``gate``). A check is a function of one signature that objects or
stays silent; ``CHECKS`` lists them in the order in which they are asked, and the first objection decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from blocklistd.collect.formats import FORMATS
from blocklistd.collect.gate import doubt
from blocklistd.collect.model import Accepted, ParsedFeed, Quarantined, Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from blocklistd.catalogue.feed import Feed
    from blocklistd.collect.past import Past, Version

FEW_REJECTS: Final = 5
"""So many refused lines prove nothing in a list that holds entries: a short list may have a prose header."""


def vet(feed: Feed, parsed: ParsedFeed, version: Version | None = None, past: Past | None = None) -> Verdict:
    """Judge a version against the feed's own rules; where ``version`` and ``past`` are given also against these."""
    for check in CHECKS.values():
        if (refusal := check(feed, parsed)) is not None:
            return refusal
    if version is not None and past is not None and (objection := doubt(feed, version, past)) is not None:
        name, reason = objection
        return Quarantined(name, reason)
    return Accepted()


def _markup(feed: Feed, parsed: ParsedFeed) -> Refused | None:
    """An error or challenge page instead of the list."""
    if parsed.opening.lstrip().startswith("<") and not FORMATS[feed.format].markup:
        return Refused("HTML instead of a list", parsed.opening)
    return None


def _prose(_feed: Feed, parsed: ParsedFeed) -> Refused | None:
    """Text, but nothing of it is an entry."""
    counts = parsed.counts
    if counts.rejected and not counts.entries and not counts.below_minimum:
        if counts.wide == counts.rejected:
            return Refused(f"all {counts.rejected:,} entries are too wide", parsed.opening)
        return Refused("prose instead of a list", parsed.opening)
    return None


def _empty(feed: Feed, parsed: ParsedFeed) -> Refused | None:
    """No entries, where the feed does not say that this may be."""
    counts = parsed.counts
    if counts.entries or feed.allow_empty:
        return None
    if counts.below_minimum:
        return Refused(f"empty: all {counts.below_minimum:,} entries are below min_count", parsed.opening)
    return Refused("empty" if parsed.size else "empty: no bytes at all", parsed.opening)


def _truncated(_feed: Feed, parsed: ParsedFeed) -> Refused | None:
    """The list says how many records it holds, and holds another number."""
    held = parsed.counts.entries + parsed.counts.rejected + parsed.counts.below_minimum
    if parsed.declared is not None and parsed.declared != held:
        return Refused(f"truncated: says {parsed.declared:,} records, holds {held:,}", parsed.opening)
    return None


def _unparseable(_feed: Feed, parsed: ParsedFeed) -> Refused | None:
    """More refused lines than entries."""
    counts = parsed.counts
    read = counts.entries + counts.below_minimum
    if counts.rejected > max(read, FEW_REJECTS):
        first = f"line {parsed.rejects[0].line}: {parsed.rejects[0].text}" if parsed.rejects else parsed.opening
        return Refused(
            f"mostly unparseable: {counts.rejected:,} of {counts.rejected + read:,} lines are no entry", first
        )
    return None


CHECKS: Final[Mapping[str, Callable[[Feed, ParsedFeed], Refused | None]]] = {
    "markup": _markup,
    "prose": _prose,
    "empty": _empty,
    "truncated": _truncated,
    "unparseable": _unparseable,
}
"""Every check by name. Those of the gate stand after these: they take for granted that the version is a list."""
