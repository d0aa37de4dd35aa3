"""blocklistd answers which public lists name an address.

The parts, in the order in which data goes through them:

- ``catalogue``  reads feeds.yaml: which lists there are, where they lie and what they mean.
- ``collect``    brings a list in: fetch politely, keep the last good body, unpack, parse, vet.
- ``index``      compiles all lists into one snapshot of mapped files, and answers from it.
- ``refresh``    one cycle of the above, in a process of its own.
- ``reputation`` judges: score, origin, overrides, policy; a report says why.
- ``web``        answers over HTTP.
- ``daemon``     supervisor, workers and schedule.
- ``cli``        the command line.

As a library, without any daemon:

>>> from blocklistd import Snapshot
>>> with Snapshot.open_current("data") as snapshot:  # doctest: +SKIP
...     snapshot.lookup("192.0.2.1").feeds
('tor_bulk_exit',)
"""

from typing import TYPE_CHECKING, Any

from blocklistd.errors import (
    BadAddress,
    BlocklistdError,
    CatalogueInvalid,
    NoSnapshot,
    RefreshBusy,
    SnapshotCorrupt,
    StorageFailed,
    UsageError,
)
from blocklistd.version import VERSION

if TYPE_CHECKING:
    from blocklistd.index import Listing, Snapshot

__version__ = VERSION

__all__ = [
    "BadAddress",
    "BlocklistdError",
    "CatalogueInvalid",
    "Listing",
    "NoSnapshot",
    "RefreshBusy",
    "Snapshot",
    "SnapshotCorrupt",
    "StorageFailed",
    "UsageError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Load the index when it is first asked for: the supervisor does without it."""
    if name in {"Listing", "Snapshot"}:
        from blocklistd import index

        return getattr(index, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
