"""The union of plain IPv4 lists in our index is what FireHOL's ``iprange`` makes of the same files.

``iprange`` (a Debian package of that name) is a C program that only merges lists. ``make interop`` sets
BLOCKLISTD_INTEROP: then a missing ``iprange`` is a failure; otherwise these tests are skipped without it.
"""

from __future__ import annotations

import gzip
import ipaddress
import json
import os
import random
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from blocklistd import Snapshot
from blocklistd.index.layout import SECTIONS, Section
from tests import corpus
from tests.acceptance import program

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

REQUIRED = bool(os.environ.get("BLOCKLISTD_INTEROP"))
IPRANGE = shutil.which("iprange")

pytestmark = pytest.mark.skipif(IPRANGE is None and not REQUIRED, reason="iprange is not installed")

PLAIN = ("firehol netset", "plain ip", "plain cidr")
"""Formats of the manifest that are one IPv4 address or CIDR a line, which is all that iprange is asked to read."""


def their_union(files: Iterable[Path]) -> list[tuple[int, int]]:
    """The merged inclusive ranges of some files according to iprange."""
    assert IPRANGE is not None, "iprange is required for interop and not installed: apt-get install iprange"
    done = subprocess.run(
        [IPRANGE, "--print-ranges", *map(str, files)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    ranges = []
    for line in done.stdout.split():
        first, _, last = line.partition("-")
        ranges.append((int(ipaddress.IPv4Address(first)), int(ipaddress.IPv4Address(last or first))))
    return ranges


def our_union(data: Path) -> list[tuple[int, int]]:
    """The merged inclusive ranges of all IPv4 segments that any feed names, read from the published section."""
    with Snapshot.open_current(data) as snapshot:
        reference = snapshot.sections["v4"]
    section = Section(data / SECTIONS / reference.name, reference)
    starts, sets = section.arrays["starts"].tolist(), section.arrays["sets"].tolist()
    section.close()
    ranges: list[tuple[int, int]] = []
    for start, end, number in zip(starts, [*starts[1:], 2**32], sets, strict=True):
        if number == 0:
            continue
        if ranges and ranges[-1][1] + 1 == start:
            ranges[-1] = (ranges[-1][0], end - 1)
        else:
            ranges.append((start, end - 1))
    return ranges


def compiled(folder: Path, files: Sequence[Path]) -> Path:
    """Refresh a catalogue in which each file is a feed; gives the data folder."""
    entries = [
        {
            "id": f"list_{number}",
            "url": path.as_uri(),
            "format": "lines",
            "category": "attacker",
            "allow_wide": True,
            "allow_empty": True,
            "gate": "none",  # such lists cannot be believed, but they can be counted
        }
        for number, path in enumerate(files)
    ]
    catalogue = folder / "feeds.yaml"
    catalogue.write_text(json.dumps({"feeds": entries}), encoding="utf-8")
    report = program.refresh(folder / "data", catalogue)
    assert {row["state"] for row in report["feeds"]} == {"updated"}, report
    return folder / "data"


def test_made_up_lists_unite_as_in_iprange(tmp_path: Path) -> None:
    """Ten lists that overlap, touch, repeat themselves and reach both ends of the space."""
    chance, files = random.Random(3), []
    for number in range(10):
        lines = ["0.0.0.0/9", "255.255.255.255", "# comment", "198.51.100.7/24   # host bits set"]
        for _ in range(4000):
            value, length = chance.randrange(0x01000000, 0x01400000), chance.choice((32, 32, 31, 30, 29, 24, 22))
            lines.append(
                f"{ipaddress.IPv4Address(value)}/{length}" if length < 32 else f"{ipaddress.IPv4Address(value)}"
            )
        path = tmp_path / f"{number}.netset"
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
        files.append(path)
    assert our_union(compiled(tmp_path, files)) == their_union(files)


@pytest.mark.skipif(not corpus.CORPUS.is_dir(), reason="the corpus is not on this machine")
def test_real_lists_unite_as_in_iprange(tmp_path: Path) -> None:
    """All plain IPv4 lists of the corpus, more than a million entries."""
    files, entries = [], 0
    for row in corpus.manifest():
        if row["family"] == "ipv4" and row["format"].startswith(PLAIN) and "NUL" not in row["format"]:
            content = (corpus.CORPUS / row["file"]).read_bytes()
            path = tmp_path / corpus.feed_id(row["file"])
            path.write_bytes(gzip.decompress(content) if row["file"].endswith(".gz") else content)
            files.append(path)
            entries += int(row["entries"])
    assert entries > 1_000_000
    ours = our_union(compiled(tmp_path, files))
    assert ours == their_union(files)
    assert len(ours) > 500_000
