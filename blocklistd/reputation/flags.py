"""What an address is, in yes and no: the categories of the lists that name it → the flags of a report. Pure.

Takes categories, gives one mapping a set of categories, shared: do not change it.

- ``tor`` is an exit. A relay that is no exit (``tor_relay``) never shows up as somebody's visitor by way of Tor, so it
  sets no flag: lists that mix the two up have locked out people who run a relay at home.
- ``attacker`` is set by the categories attacker and abuse. ``reputation`` says how bad without saying what, so it
  counts in the score and sets no flag.
- ``hosting`` is set by the categories hosting and cdn: both are servers.
- ``vpn`` and ``hosting`` are not set where a list says relay or crawler: lists of data centres and tunnels hold those
  too, and what they are is said better by the other.
"""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from blocklistd.reputation.report import FLAGS
from blocklistd.reputation.score import SOFTENED, SOFTENING

if TYPE_CHECKING:
    from collections.abc import Mapping

FLAG_OF: Final = {
    **{category: category for category in ("tor", "vpn", "proxy", "residential_proxy", "relay", "bot", "spam")},
    **{category: category for category in ("malware", "hosting", "crawler", "bogon", "attacker")},
    "abuse": "attacker",
    "cdn": "hosting",
}
"""Category → flag. Those that are not here set none."""

ANONYMOUS: Final = frozenset({"tor", "vpn", "proxy", "residential_proxy", "relay"})


@lru_cache(maxsize=4096)
def flags_of(categories: frozenset[str | None], *, bogon: bool = False, softened: bool = False) -> Mapping[str, bool]:
    """Every flag in the order of ``FLAGS``.

    bogon: the address is in special-use space, whatever the lists say; softened: take ``vpn`` and ``hosting`` away as
    a relay or crawler would, for an address that the operator allows.
    """
    raised = {FLAG_OF[category] for category in categories if category in FLAG_OF}
    if softened or SOFTENING & categories:
        raised -= SOFTENED
    if bogon:
        raised.add("bogon")
    if raised & ANONYMOUS:
        raised.add("anonymous")
    return MappingProxyType({flag: flag in raised for flag in FLAGS})
