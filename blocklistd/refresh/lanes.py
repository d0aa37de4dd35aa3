"""Processes that parse: list bytes are written by strangers, so they are read where nothing else is at risk.

A lane takes one feed's stored bodies, parses and vets them, stores the entries section and gives a small summary. It
is killed at its deadline (one bad pattern must not spend the cycle) and replaced; it dies by its own alarm if its
parent is killed. Memory is bounded by the system's address space limit.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from blocklistd.catalogue import Feed
from blocklistd.collect.model import Accepted, Counts, ParsedFeed, Refused, Reject
from blocklistd.collect.parse import parse_feed
from blocklistd.collect.unpack import BadBody
from blocklistd.collect.vet import vet
from blocklistd.index.entries import FeedEntries, encode_entries
from blocklistd.index.layout import SectionReference
from blocklistd.index.names import mail_digest
from blocklistd.index.publish import write_section

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess
    from types import TracebackType

MEMORY_LIMIT: Final = 4 * 2**30
"""Bytes of address space a lane may use."""


@dataclass(frozen=True, slots=True)
class ParseTask:
    """What a lane is given. previous: counts of the version in force; secret: keys the digests of mail addresses."""

    feed: Feed
    bodies: tuple[Path, ...]
    data: Path
    inputs: str
    previous: Counts | None
    secret: bytes


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a lane gives back: counts, the first refused lines, and the stored section or why there is none."""

    counts: Counts = field(default_factory=Counts)
    rejects: tuple[Reject, ...] = ()
    dated: float | None = None
    size: int = 0
    section: SectionReference | None = None
    refused: Refused | None = None
    storage_error: str = ""


class Lane:
    """One parsing process; use from one task at a time."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._process: ForkServerProcess | None = None
        self._connection: Connection | None = None

    async def parse(self, task: ParseTask) -> Parsed:
        """Parse and vet a feed. Trouble of any kind is a ``Parsed`` with ``refused``."""
        if self._process is None or not self._process.is_alive():
            self.close()
            self._start()
        assert self._connection is not None
        self._connection.send(task)
        try:
            async with asyncio.timeout(self._deadline):
                await _readable(self._connection)
            result = self._connection.recv()
        except TimeoutError:
            self.close()
            return Parsed(refused=Refused(f"parsing took longer than {self._deadline:g} s"))
        except (EOFError, OSError):
            self.close()
            return Parsed(refused=Refused("the parsing process died, out of memory perhaps"))
        except asyncio.CancelledError:  # its answer would be taken for that of the next feed
            self.close()
            raise
        assert isinstance(result, Parsed)
        return result

    def _start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._deadline), daemon=True)
        self._process.start()
        theirs.close()

    def close(self) -> None:
        """End the process, at work or not."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        self._process = self._connection = None


class Lanes:
    """As many lanes as there are processors, for any number of tasks; a context manager."""

    def __init__(self, deadline: float) -> None:
        self._lanes = [Lane(deadline) for _ in range(len(os.sched_getaffinity(0)))]
        self._free: asyncio.Queue[Lane] = asyncio.Queue()
        for lane in self._lanes:
            self._free.put_nowait(lane)

    async def parse(self, task: ParseTask) -> Parsed:
        """Parse in the next free lane."""
        lane = await self._free.get()
        try:
            return await lane.parse(task)
        finally:
            self._free.put_nowait(lane)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for lane in self._lanes:
            lane.close()


async def _readable(connection: Connection) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection.fileno())


def _serve(connection: Connection, deadline: float) -> None:
    """The life of a lane: task after task until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    with suppress(EOFError, ConnectionError):
        while True:
            task = connection.recv()
            signal.alarm(int(deadline) + 10)
            connection.send(work(task))
            signal.alarm(0)


def work(task: ParseTask) -> Parsed:
    """Parse, vet and store one feed, in whatever process this is."""
    try:
        parsed = parse_feed(task.feed, task.bodies)
    except BadBody as error:
        return Parsed(refused=Refused(str(error)))
    except MemoryError:
        return Parsed(refused=Refused("parsing needs too much memory"))
    except Exception as error:  # noqa: BLE001  one feed's surprise must not end the others
        return Parsed(refused=Refused(f"parser failed: {type(error).__name__}: {error}"[:300]))
    verdict = vet(task.feed, parsed, task.previous)
    if not isinstance(verdict, Accepted):
        return Parsed(parsed.counts, parsed.rejects, parsed.dated, parsed.size, refused=verdict)
    encoded = encode_entries(_entries(parsed, task.secret), task.inputs)
    try:
        section = write_section(task.data, encoded)
    except OSError as error:
        return Parsed(storage_error=error.strerror or str(error))
    return Parsed(parsed.counts, parsed.rejects, parsed.dated, parsed.size, section)


def _entries(parsed: ParsedFeed, secret: bytes) -> FeedEntries:
    return FeedEntries(
        v4=parsed.v4,
        v6=parsed.v6,
        texts=parsed.texts,
        asns=parsed.asns,
        domains=parsed.domains,
        mails=b"".join(sorted({mail_digest(address, secret) for address in parsed.emails})),
    )
