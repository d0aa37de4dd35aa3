"""Every exception of blocklistd, sorted by what the caller can do about it.

    BlocklistdError
    ├── BadAddress          the question is no IP address: ask again         HTTP 400, exit 2
    ├── UsageError          wrong argument or setting: call again            exit 2
    │   └── ConfigurationInvalid    a file has mistakes, all of them named
    │       ├── CatalogueInvalid        feeds.yaml                           exit 2
    │       └── PolicyInvalid           policy.yaml                          exit 2
    ├── NoSnapshot          nothing compiled yet: refresh first              HTTP 503, exit 2
    ├── NotReady            a worker still starts: ask again                 HTTP 503
    ├── SnapshotCorrupt     a snapshot file is not what was written          use an older one
    ├── RefreshBusy         another refresh holds the lock: wait             exit 1
    ├── StorageFailed       the data folder cannot be read or written        exit 1
    └── StartFailed         an address or a process is not to be had         exit 1

The failure of one feed is no exception: it is a value in the refresh report.
"""

from __future__ import annotations

from dataclasses import dataclass


class BlocklistdError(Exception):
    """Base of all errors that blocklistd raises on purpose; its text is a sentence for the user."""


class BadAddress(BlocklistdError, ValueError):
    """The text is not one IPv4 or IPv6 address in its plain notation."""


class UsageError(BlocklistdError):
    """An argument or setting is wrong; nothing was done."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration file.

    path: where in the document, such as ``feeds[3].every``; line: 1-based, 0 when the file has none.
    """

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        path = f"{self.path}: " if self.path else ""
        return f"{where}{path}{self.message}"


class ConfigurationInvalid(UsageError):
    """A configuration file was refused; ``problems`` holds every mistake, in the order of the file."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        self.source = source
        self.problems = problems
        lines = "\n".join(f"  {problem}" for problem in problems)
        noun = "mistake" if len(problems) == 1 else "mistakes"
        super().__init__(f"{source}: {len(problems)} {noun}\n{lines}")


class CatalogueInvalid(ConfigurationInvalid):
    """feeds.yaml was refused."""


class PolicyInvalid(ConfigurationInvalid):
    """policy.yaml was refused."""


class NoSnapshot(BlocklistdError):
    """The data folder holds no usable snapshot yet."""


class NotReady(BlocklistdError):
    """A worker has not yet heard from its supervisor what it needs for this answer."""


class SnapshotCorrupt(BlocklistdError):
    """A manifest or section is truncated, altered, missing or written by something else."""


class RefreshBusy(BlocklistdError):
    """Another refresh is at work on the same data folder."""


class StorageFailed(BlocklistdError):
    """Reading or writing the data folder failed: full disk, read-only, no permission."""


class StartFailed(BlocklistdError):
    """The daemon cannot start: an address is in use, not of this host or not permitted, or no process can be had."""
