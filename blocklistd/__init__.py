"""blocklistd answers which public lists name an address.

The parts, in the order in which data goes through them:

- ``catalogue``  reads feeds.yaml: which lists there are, where they lie and what they mean.
- ``collect``    brings a list in: fetch politely, keep the last good body, unpack, parse, vet.
- ``index``      compiles all lists into one snapshot of mapped files, and answers from it.
- ``refresh``    one cycle of the above, in a process of its own.
- ``web``        answers over HTTP.
- ``daemon``     supervisor, workers and schedule.
- ``cli``        the command line.

As a library, without any daemon:

>>> from blocklistd import Snapshot
>>> with Snapshot.open_current("data") as snapshot:  # doctest: +SKIP
...     snapshot.lookup("192.0.2.1").feeds
('tor_bulk_exit',)
"""

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
from blocklistd.index import Listing, Snapshot
from blocklistd.version import VERSION

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
