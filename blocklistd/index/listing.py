"""What a lookup answers: which feeds name an address."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listing:
    """The answer to one question. One frozen object a distinct feed set, shared by all addresses that have it.

    feeds: ids in the order of the catalogue; empty when no list names the address.
    """

    feeds: tuple[str, ...]

    @property
    def listed(self) -> bool:
        """Whether any list names the address."""
        return bool(self.feeds)


NOT_LISTED = Listing(())
"""The answer for most of the Internet."""
