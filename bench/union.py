"""Cold and warm compile of plain IPv4 lists beside ``iprange --union-all`` on the same files: processor time.

Ours reads, parses, flattens and writes a snapshot, which keeps for every address which of the lists name it; iprange
merges all into one list and forgets where an address came from. A warm compile comes after one list has changed. Real
lists where the corpus is present, made-up ones elsewhere. ``python -m bench.union FOLDER FILE…`` is the process that is
measured.
"""

from __future__ import annotations

import gc
import gzip
import json
import pickle
import random
import resource
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import servers
from bench.data import text_of
from bench.measure import Row, quotient
from blocklistd import kernel
from blocklistd.catalogue.feed import Feed
from blocklistd.collect.parse import parse_feed
from blocklistd.index.compile import Compiled, compile_index
from blocklistd.index.coverage import Source
from blocklistd.index.entries import FeedEntries, StoredEntries, encode_entries
from blocklistd.index.layout import SECTIONS, Section, SectionReference
from blocklistd.index.publish import prepare_folders, sync_sections, write_section
from tests import corpus
from tests.acceptance import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.data import Lists

ROUNDS = 5
PART = "union"
PLAIN = ("firehol netset", "plain ip", "plain cidr")
"""Formats of the manifest that are one IPv4 address or CIDR a line, which is all that iprange reads."""
CHANGED = ".changed"
SHARE_CHANGED = 0.02
TARGETS = {kernel.COMPILED: 0.7, kernel.PURE: 1.5}


def rows(lists: Lists, folder: Path) -> Iterator[Row]:
    """Measure in processes of their own, in turns."""
    files = _files(lists, folder / "lists")
    lines = sum(path.read_bytes().count(b"\n") for path in files)
    which = "real" if corpus.CORPUS.is_dir() else "made-up"
    yield Row(PART, f"plain IPv4 lists, {which}", len(files), "", note=f"{lines:,} lines")
    peer = shutil.which("iprange")
    whole: dict[str, list[float]] = {}
    work: dict[str, list[float]] = {}
    warm: dict[str, list[float]] = {}
    changed = change_one(files)
    for number in range(ROUNDS + 1):
        for choice in reversed(kernel.CHOICES):
            data = str(
                folder / f"union-{number}-{choice}"
            )  # none is deleted: ext4 shuns inodes just deleted, which costs
            seconds, said = _run(
                [sys.executable, "-m", "bench.union", data, *map(str, files)],
                program.environment(folder, folder / "none", kernel=choice),
            )
            _, said_warm = _run(
                [sys.executable, "-m", "bench.union", data, str(changed)],
                program.environment(folder, folder / "none", kernel=choice),
            )
            if number:  # the first round warms up
                whole.setdefault(choice, []).append(seconds)
                work.setdefault(choice, []).append(json.loads(said))
                warm.setdefault(choice, []).append(json.loads(said_warm))
        if peer is not None:
            seconds, _ = _run([peer, "--union-all", *map(str, files)])
            if number:
                whole.setdefault("iprange", []).append(seconds)
    if peer is None:
        yield Row(PART, "iprange", 0, "", note="not installed: not measured")
    else:
        yield Row(PART, "iprange --union-all", statistics.median(whole["iprange"]) * 1e3, "ms")
    for choice, seconds_each in work.items():
        note = f"{statistics.median(whole[choice]) * 1e3:,.0f} ms with the start of Python and imports"
        yield Row(PART, f"parse, flatten, write: {choice}", statistics.median(seconds_each) * 1e3, "ms", note=note)
        if peer is not None:
            target = f"target at most {TARGETS[choice]:g}"
            yield quotient(PART, f"parse, flatten, write: {choice} / iprange", seconds_each, whole["iprange"], target)
            yield quotient(PART, f"the whole process: {choice} / iprange", whole[choice], whole["iprange"])
        name = f"warm, one of {len(files)} lists changed: {choice}"
        yield Row(PART, name, statistics.median(warm[choice]) * 1e3, "ms", note=f"{changed.stat().st_size:,} bytes")
        yield quotient(PART, f"{name} / cold", warm[choice], seconds_each, "target at most 0.3")


def _files(lists: Lists, folder: Path) -> list[Path]:
    """The lists, unpacked, each in a file."""
    folder.mkdir(parents=True)
    if not corpus.CORPUS.is_dir():
        contents = {name: "\n".join(text for text in texts if ":" not in text) for name, texts in lists.feeds.items()}
        bodies = {name: (content + "\n").encode() for name, content in contents.items()}
    else:
        bodies = {}
        for row in corpus.manifest():
            if row["family"] == "ipv4" and row["format"].startswith(PLAIN) and "NUL" not in row["format"]:
                content = (corpus.CORPUS / row["file"]).read_bytes()
                unpacked = gzip.decompress(content) if row["file"].endswith(".gz") else content
                bodies[corpus.feed_id(row["file"])] = unpacked
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
    return [folder / name for name in bodies]


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> tuple[float, str]:
    """Processor seconds of a process, user and system, and what it said."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with servers.pinned(servers.SERVER_CORE):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


@dataclass(frozen=True)
class Former:
    """What a compile leaves to the next: of the feeds their sections, and what was compiled."""

    feeds: list[tuple[str, str]]
    compiled: Compiled


def compile_cold(folder: Path, files: Sequence[Path]) -> Former:
    """Files to the sections of a snapshot in a new folder."""
    prepare_folders(folder)
    sources = [_source(folder, path) for path in files]
    compiled = compile_index(sources, {}, {})
    store(folder, compiled, sources)
    return Former([(source.id, source.section) for source in sources], replace(compiled, fresh=()))


def _source(folder: Path, path: Path, name: str = "") -> Source:
    """One list parsed and its entries stored."""
    name = name or path.name
    entry = corpus.LINES | {"id": name, "url": path.as_uri(), "category": "attacker", "allow_wide": True}
    parsed = parse_feed(Feed.model_validate(entry), [path])
    entries = FeedEntries(v4=parsed.v4, v6=parsed.v6, texts=parsed.texts)
    return Source(name, "ip", write_section(folder, encode_entries(entries)).name, entries)


def store(folder: Path, compiled: Compiled, sources: Sequence[Source]) -> None:
    """Write the new sections and sync them together with those of the sources."""
    fresh = [write_section(folder, section).name for section in compiled.fresh]
    sync_sections(folder, {*fresh, *(source.section for source in sources)})


def compile_warm(folder: Path, former: Former, changed: Path) -> None:
    """The next compile in the same folder: one list is another, the entries of all others are not even opened."""

    def open_section(reference: SectionReference) -> Section:
        return Section(folder / SECTIONS / reference.name, reference)

    fresh = _source(folder, changed, changed.name.removesuffix(CHANGED))
    sources = [
        fresh if name == fresh.id else Source(name, "ip", section, StoredEntries.of(_unwanted))
        for name, section in former.feeds
    ]
    compiled = compile_index(sources, former.compiled.sections, former.compiled.ranges, open_section)
    store(folder, compiled, [fresh])


def _unwanted() -> Section:
    raise AssertionError("a list that did not change was opened")


def change_one(files: Sequence[Path]) -> Path:
    """Another version of the list of average size: of a hundred lines two go and two come."""
    average = sum(path.stat().st_size for path in files) / len(files)
    chosen = min(files, key=lambda path: abs(path.stat().st_size - average))
    chance = random.Random(3)
    lines = [line for line in chosen.read_text(errors="replace").splitlines() if chance.random() > SHARE_CHANGED]
    lines += [text_of(4, (chance.randrange(2**24, 2**32 - 2**29), 32)) for _ in range(int(len(lines) * SHARE_CHANGED))]
    changed = chosen.parent.parent / f"{chosen.name}{CHANGED}"
    changed.write_text("\n".join(lines) + "\n")
    return changed


def main(folder: Path, files: Sequence[Path]) -> None:
    """A cold compile of the files; where there has been one, the warm compile of the first file, changed."""
    before = folder / "former.pickle"
    former = pickle.loads(before.read_bytes()) if before.exists() else None
    gc.freeze()  # as a lane does that parses
    begun = time.process_time()
    if former is None:
        former = compile_cold(folder, files)
        print(json.dumps(time.process_time() - begun))
        before.write_bytes(pickle.dumps(former))
    else:
        compile_warm(folder, former, files[0])
        print(json.dumps(time.process_time() - begun))


if __name__ == "__main__":
    from bench.union import main as as_imported  # under its own name, so that what is pickled can be read again

    as_imported(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
