"""The addresses that no list of risk should name, as of this moment: public resolvers and this host.

Takes what this host is, gives ``Canary`` values for the gate. Of its own addresses only public ones count: that a list
names a private one says nothing about this host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from blocklistd.addresses import format_address, is_special
from blocklistd.refresh.measure import Canary
from blocklistd.reputation.suppression import public_resolvers

if TYPE_CHECKING:
    from collections.abc import Mapping


WATCHED: Final = ("Google Public DNS", "Cloudflare", "Quad9", "OpenDNS")
"""So well known that no list means them; networks of smaller resolvers were others' before, and rightly listed."""


def read_canaries() -> tuple[Canary, ...]:
    """The public resolvers among them."""
    return tuple(
        Canary(*address, f"{format_address(*address)} (resolver of {name})")
        for name in WATCHED
        for address in public_resolvers()[name]
    )


def own_canaries(own: Mapping[tuple[int, int], str]) -> tuple[Canary, ...]:
    """Public addresses of this host, given as (family, value) → what they are."""
    return tuple(Canary(*address, words) for address, words in own.items() if not is_special(*address))
