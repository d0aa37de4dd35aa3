"""Can this version of a feed be believed? Pure: values in, an objection or nothing out.

``vet`` has found it to be a list at all; here it is compared with the feed's own past and with what no list of risk
should say. A check is a function of one signature that gives its objection in words or None; ``GATE`` lists them in the
order in which they are asked. An objection quarantines the version: the one before stays in force until the operator
accepts it or the provider has a better one. Without a past only the checks that need none object.

Why these bands: of fifteen public lists in dated versions, days apart, none lost more than 21 % of its entries or grew
by more than 57 %, and all of a hundred entries and more had at least a tenth in common with the version before.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

from blocklistd.catalogue.feed import TABLES
from blocklistd.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from blocklistd.catalogue.feed import Feed, Gate
    from blocklistd.collect.past import Past, Version

SLACK: Final = 30
"""So many entries more or less prove nothing: small lists jump."""
SAME: Final = 0.05
"""Where the space covered differs by less than this, more or fewer entries say the same in other networks."""
FEW: Final = 100
"""Of fewer entries all may change from one version to the next."""
FORGOTTEN: Final = 7 * 86400
"""After so many seconds two versions need not have anything in common."""
FEW_REJECTS: Final = 5
"""So many refused lines prove nothing in a list that holds entries: a short list may have a prose header."""
WIDER: Final = 256
"""An entry so many times as wide as any before it is a mistake or another list …"""
WIDE4: Final = 2**16
WIDE6: Final = 2**24
"""… but nothing up to an IPv4 /16 or IPv6 /40 (in networks of /64)."""

SPACE4: Final = 2**32
SPACE6: Final = 2**61
"""All IPv4 addresses; the networks of /64 of 2000::/3."""
ACCUSING: Final = frozenset(
    {
        *("tor", "tor_relay", "vpn", "proxy", "residential_proxy", "attacker", "abuse", "bot", "spam", "malware"),
        "reputation",
    }
)
"""Categories of which an entry counts against who comes from there."""
ACCUSED_SHARE: Final = 0.05
LARGEST_SHARE: Final = 0.25
"""So much of the address space a list may cover: one of an accusing category, and one of hosts, relays or crawlers."""

VERSIONS_OF_A_DATE: Final = 3
"""So many versions in a row with one and the same date in their heading: the heading is not kept up, or copied."""
VERSIONS_OF_A_RHYTHM: Final = 6
QUIET: Final = 20
"""A list that changed at this many times its usual interval ago has stopped."""


def doubt(feed: Feed, version: Version, past: Past) -> tuple[str, str] | None:
    """The first objection: name of the check and why, in words. None where the version can be believed."""
    if feed.gate is None:
        return None
    for name, check in GATE.items():
        if (objection := check(feed, feed.gate, version, past)) is not None:
            return name, objection
    return None


def frozen_since(feed: Feed, versions: tuple[Version, ...], now: float) -> float:
    """Since when a list that is fetched well says nothing new, unix time; 0 where it lives.

    Either it changed, but keeps one old date in its heading; or it has not changed for far longer than was its rhythm.
    """
    dates = [version.dated for version in versions[-VERSIONS_OF_A_DATE:]]
    slow = max(3 * feed.every.period, 86400.0)
    if len(dates) == VERSIONS_OF_A_DATE and dates[0] and len(set(dates)) == 1 and now - dates[0] > slow:
        return dates[0]
    if len(versions) < VERSIONS_OF_A_RHYTHM:
        return 0.0
    moments = [version.at for version in versions]
    rhythm = median(later - earlier for earlier, later in pairwise(moments))
    return moments[-1] if now - moments[-1] > max(QUIET * rhythm, slow) else 0.0


def _wide(_feed: Feed, _limits: Gate, version: Version, past: Past) -> str | None:
    """Entries such as 0.0.0.0/0 in a list that never had any: they are left out, but so may more be wrong."""
    if version.wide and past.versions and not past.most("wide"):
        return f"holds {counted(version.wide, 'entry')} too wide to be taken, such as a whole half of the address space"
    return None


def _space(feed: Feed, limits: Gate, version: Version, _past: Past) -> str | None:
    """More of the address space than any list of its kind can mean."""
    limit = _share_limit(feed, limits)
    for family, covered, whole in ((4, version.public4, SPACE4), (6, version.public6, SPACE6)):
        if limit is not None and covered > limit * whole:
            return f"covers {_percent(covered / whole)} of IPv{family}, up to {_percent(limit)} is believed"
    return None


def _share_limit(feed: Feed, limits: Gate) -> float | None:
    if limits.space is not None:
        return limits.space
    if feed.category == "bogon" or feed.kind in TABLES:
        return None
    return ACCUSED_SHARE if feed.category in ACCUSING else LARGEST_SHARE


def _canaries(feed: Feed, limits: Gate, _version: Version, past: Past) -> str | None:
    """Addresses that nobody means to accuse: public resolvers, this host."""
    if limits.canaries and feed.category in ACCUSING and past.canaries:
        more = f" and {len(past.canaries) - 3} more" if len(past.canaries) > 3 else ""
        return f"names {', '.join(past.canaries[:3])}{more}"
    return None


def _rejects(_feed: Feed, limits: Gate, version: Version, past: Past) -> str | None:
    """Far more lines than usual that are no entry."""
    if not past.versions or version.rejected <= FEW_REJECTS:
        return None
    usual, share = past.usual("rejected_share"), version.rejected_share
    if share > usual + limits.rejects:
        return f"{_percent(share)} of its lines are no entry, usually {_percent(usual)}"
    return None


def _shrink(feed: Feed, limits: Gate, version: Version, past: Past) -> str | None:
    """Much of the list is gone, at once or bit by bit."""
    if not past.versions or feed.allow_empty or _same_space(version, past.last):
        return None
    usual, last, share = past.usual("unique"), past.last.unique, 1 - limits.shrink

    def lost(before: float, kept: float) -> bool:
        return before - version.unique > SLACK and version.unique < kept * before

    if lost(last, share) and lost(usual, share):
        gone = _percent(1 - version.unique / last)
        return f"has lost {gone} of {last:,} entries, up to {_percent(1 - share)} is believed"
    if lost(usual, share**2):
        return f"has dwindled to {version.unique:,} entries, usually {usual:,.0f}"
    return None


def _growth(_feed: Feed, limits: Gate, version: Version, past: Past) -> str | None:
    """The list has swollen, in entries or in the space they cover."""
    if not past.versions:
        return None
    for column, noun in (("unique", "entries"), ("v4", "IPv4 addresses"), ("v6", "IPv6 networks")):
        now, last, usual = getattr(version, column), getattr(past.last, column), past.usual(column)
        average = max(1.0, last / max(1, past.last.unique))
        if (
            not last
            or now - max(last, usual) <= SLACK * average
            or (column == "unique" and _same_space(version, past.last))
        ):
            continue
        times = 1 + limits.growth
        if now > times * last and now > times * usual:
            return f"has grown from {last:,} to {now:,} {noun}, up to {times:.3g} times as many is believed"
        if now > times**2 * usual:
            return f"has grown to {now:,} {noun}, usually {usual:,.0f}"
    return None


def _widest(_feed: Feed, _limits: Gate, version: Version, past: Past) -> str | None:
    """One entry far wider than any before."""
    for column, allowed, family, host in (("widest4", WIDE4, 4, 32), ("widest6", WIDE6, 6, 64)):
        now = getattr(version, column)
        before = past.most(column) if past.versions else 0
        if before and now > max(allowed, WIDER * before):
            lengths = (host - (size - 1).bit_length() for size in (int(now), int(before)))
            return "holds an IPv{} network of about /{}, wider than any before (/{})".format(family, *lengths)
    return None


def _overlap(_feed: Feed, limits: Gate, version: Version, past: Past) -> str | None:
    """Hardly anything in common with the version before: another list."""
    if past.overlap is None or past.elapsed > FORGOTTEN or min(version.unique, past.last.unique) < FEW:
        return None
    if past.overlap < limits.overlap:
        asked = _percent(limits.overlap)
        return f"has {_percent(past.overlap)} in common with the version before, at least {asked} is expected"
    return None


def _same_space(version: Version, before: Version) -> bool:
    """Whether both cover about as many addresses, and some; lists of names never do."""
    pairs = ((version.v4, before.v4), (version.v6, before.v6))
    return any(old for _, old in pairs) and all(abs(new - old) <= SAME * old for new, old in pairs)


def _percent(share: float) -> str:
    """``0.3 %``, ``42 %``."""
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share * 100:,.0f} %"


GATE: Final[Mapping[str, Callable[[Feed, Gate, Version, Past], str | None]]] = {
    "wide": _wide,
    "space": _space,
    "canaries": _canaries,
    "rejects": _rejects,
    "shrink": _shrink,
    "growth": _growth,
    "widest": _widest,
    "overlap": _overlap,
}
"""Every check by name."""
