"""A cold compile of plain IPv4 lists beside ``iprange --union-all`` on the same files: processor time of a process.

Ours reads, parses, flattens and writes a snapshot, which keeps for every address which of the lists name it; iprange
merges all into one list and forgets where an address came from. Real lists where the corpus is present, made-up ones
elsewhere. ``python -m bench.union FOLDER FILE…`` is the process that is measured.
"""

from __future__ import annotations

import gzip
import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import servers
from bench.measure import Row, quotient
from blocklistd import kernel
from blocklistd.catalogue.feed import Feed
from blocklistd.collect.parse import parse_feed
from blocklistd.index.compile import Source, compile_index
from blocklistd.index.entries import FeedEntries, encode_entries
from blocklistd.index.publish import prepare_folders, write_section
from tests import corpus
from tests.acceptance import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.data import Lists

ROUNDS = 5
PART = "union"
PLAIN = ("firehol netset", "plain ip", "plain cidr")
"""Formats of the manifest that are one IPv4 address or CIDR a line, which is all that iprange reads."""
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
    for number in range(ROUNDS + 1):
        for choice in reversed(kernel.CHOICES):
            shutil.rmtree(folder / "union", ignore_errors=True)
            seconds, said = _run(
                [sys.executable, "-m", "bench.union", str(folder / "union"), *map(str, files)],
                program.environment(folder, folder / "none", kernel=choice),
            )
            if number:  # the first round warms up
                whole.setdefault(choice, []).append(seconds)
                work.setdefault(choice, []).append(json.loads(said))
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


def compile_cold(folder: Path, files: Sequence[Path]) -> None:
    """Files to the sections of a snapshot in a new folder."""
    prepare_folders(folder)
    sources = []
    for path in files:
        entry = corpus.LINES | {"id": path.name, "url": path.as_uri(), "category": "attacker", "allow_wide": True}
        parsed = parse_feed(Feed.model_validate(entry), [path])
        entries = FeedEntries(v4=parsed.v4, v6=parsed.v6, texts=parsed.texts)
        sources.append(Source(path.name, "ip", write_section(folder, encode_entries(entries)).name, entries))
    for section in compile_index(sources, {}, {}).fresh:
        write_section(folder, section)


if __name__ == "__main__":
    begun = time.process_time()
    compile_cold(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
    print(json.dumps(time.process_time() - begun))
