"""The index: ranges → Snapshot → Listing."""

from blocklistd.index.listing import Listing
from blocklistd.index.snapshot import Snapshot

__all__ = ["Listing", "Snapshot"]
