"""The process that parses: ``main`` is its whole life.

List bytes are written by strangers, so they are read where nothing else is at risk. Takes one ``ParseTask`` after the
other on standard input, gives one ``Parsed`` each on standard output: it parses and vets a feed's stored bodies and
stores its entries section. Answers are JSON, so that a parser gone astray can at worst give wrong numbers to its
parent. It ends when its input does, by its own alarm if its parent is killed while it works, and its memory is bounded.

Messages are framed: eight bytes of length, big-endian, then the message.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import resource
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Final, Self

from blocklistd.catalogue import Feed
from blocklistd.collect.model import Counts, ParsedFeed, Quarantined, Refused, Reject
from blocklistd.collect.parse import parse_feed
from blocklistd.collect.past import Past, Version, decode_past
from blocklistd.collect.unpack import BadBody
from blocklistd.collect.vet import vet
from blocklistd.errors import SnapshotCorrupt
from blocklistd.index.entries import FeedEntries, decode_entries, encode_entries
from blocklistd.index.layout import SECTIONS, Section, SectionReference
from blocklistd.index.names import mail_digest
from blocklistd.index.publish import write_section
from blocklistd.refresh.measure import Canary, measure, named, overlap

MEMORY_LIMIT: Final = 4 * 2**30
"""Bytes of address space a lane may use."""
LENGTH: Final = 8
READY: Final = b"ready"
"""The first message of a lane: from here on deadlines are its own."""
LARGEST_ANSWER: Final = 2**20
GRACE: Final = 10
"""Seconds after the deadline at which a lane ends itself, should its parent be gone."""


@dataclass(frozen=True, slots=True)
class Trial:
    """versions: those in force before; section: entries of the one that answers, where at hand.

    elapsed: seconds since that came. Under a pin it is older than the last of the versions. counts: of those entries,
    which then stand for the past, where none is remembered: the state was lost, or written by an earlier version.
    """

    versions: tuple[Version, ...]
    elapsed: float
    section: SectionReference | None
    canaries: tuple[Canary, ...]
    counts: Counts | None = None


@dataclass(frozen=True, slots=True)
class ParseTask:
    """What a lane is given.

    trial: what the gate judges by, None to let through whatever is a list; secret: keys the digests of mail addresses.
    """

    feed: Feed
    bodies: tuple[Path, ...]
    data: Path
    inputs: str
    trial: Trial | None
    secret: bytes


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a lane gives back: counts, the first refused lines, and the stored section or why there is none.

    version: in numbers, where it is a list at all.
    """

    counts: Counts = field(default_factory=Counts)
    rejects: tuple[Reject, ...] = ()
    dated: float | None = None
    size: int = 0
    section: SectionReference | None = None
    refused: Refused | None = None
    quarantined: Quarantined | None = None
    version: Version | None = None
    storage_error: str = ""

    def encode(self) -> bytes:
        """For the pipe."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """From the pipe. Raises ValueError, TypeError or KeyError where that is not what ``encode`` gave."""
        document = json.loads(content)
        return cls(
            counts=Counts(**document["counts"]),
            rejects=tuple(Reject(**reject) for reject in document["rejects"]),
            dated=document["dated"],
            size=document["size"],
            section=SectionReference(**document["section"]) if document["section"] else None,
            refused=Refused(**document["refused"]) if document["refused"] else None,
            quarantined=Quarantined(**document["quarantined"]) if document["quarantined"] else None,
            version=decode_past([document["version"]])[0] if document["version"] else None,
            storage_error=document["storage_error"],
        )


def frame(message: bytes) -> bytes:
    """A message with its length in front."""
    return len(message).to_bytes(LENGTH) + message


def main(deadline: float, memory: int = MEMORY_LIMIT) -> None:
    """The life of a lane: task after task until the other end closes."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not get among the answers
    gc.freeze()  # what was imported stays: no use in looking through it again and again while lists are parsed
    with suppress(BrokenPipeError):  # nobody wants the answer any more
        _send(answers, READY)
        while (task := _receive(sys.stdin.buffer)) is not None:
            signal.alarm(int(deadline) + GRACE)
            _send(answers, work(task).encode())
            signal.alarm(0)


def _send(stream: IO[bytes], message: bytes) -> None:
    stream.write(frame(message))
    stream.flush()


def _receive(stream: IO[bytes]) -> ParseTask | None:
    length = int.from_bytes(stream.read(LENGTH))
    content = stream.read(length)
    if not length or len(content) < length:
        return None
    task = pickle.loads(content)  # noqa: S301  our own parent wrote it
    assert isinstance(task, ParseTask)
    return task


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
    version, entries = measure(parsed), _entries(parsed, task.secret)
    past = None if task.trial is None else _past(task, task.trial, entries)
    verdict = vet(task.feed, parsed, version, past)
    if isinstance(verdict, Refused):
        return Parsed(parsed.counts, parsed.rejects, parsed.dated, parsed.size, refused=verdict)
    if isinstance(verdict, Quarantined):
        return Parsed(parsed.counts, parsed.rejects, parsed.dated, parsed.size, quarantined=verdict, version=version)
    encoded = encode_entries(entries, task.inputs)
    try:
        section = write_section(task.data, encoded)
    except OSError as error:
        return Parsed(storage_error=error.strerror or str(error))
    return Parsed(parsed.counts, parsed.rejects, parsed.dated, parsed.size, section, version=version)


def _past(task: ParseTask, trial: Trial, entries: FeedEntries) -> Past:
    """The past, with what only the entries themselves tell."""
    before = _stored(task.data, trial.section)
    found = named(trial.canaries, entries.v4, entries.v6)
    if before is not None and found:
        known = set(named(trial.canaries, before.v4, before.v6))
        found = [words for words in found if words not in known]
    versions = trial.versions
    if not versions and before is not None and trial.counts is not None:
        versions = (measure(ParsedFeed(task.feed.id, trial.counts, v4=before.v4, v6=before.v6)),)
    common = None if before is None or not versions else overlap(entries, before)
    return Past(versions, common, trial.elapsed, tuple(found))


def _stored(data: Path, reference: SectionReference | None) -> FeedEntries | None:
    """The entries in force; None where they are missing or damaged, so that nothing can be compared."""
    if reference is None:
        return None
    try:
        return decode_entries(Section(data / SECTIONS / reference.name, reference))
    except (SnapshotCorrupt, OSError, ValueError):
        return None


def _entries(parsed: ParsedFeed, secret: bytes) -> FeedEntries:
    return FeedEntries(
        v4=parsed.v4,
        v6=parsed.v6,
        texts=parsed.texts,
        asns=parsed.asns,
        domains=parsed.domains,
        mails=b"".join(sorted({mail_digest(address, secret) for address in parsed.emails})),
    )
