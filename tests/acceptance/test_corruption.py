"""Damage of every kind to the files of a snapshot: the reader gives right answers or refuses, and never anything else.

A data folder with an older and a newer snapshot is made by the program itself from lists of every kind. Then one file
at a time is damaged, the folder is opened and asked everything, and the file is put right again.
"""

from __future__ import annotations

import ipaddress
import json
import random
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from blocklistd import Snapshot
from blocklistd.errors import NoSnapshot, SnapshotCorrupt
from blocklistd.index.current import CurrentSnapshot
from tests.acceptance import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FLIPS = 2000
CUTS = 100
LENGTHS_AT_ENDS = (0, 1, 7, 8, 15, 16, 17, 64)

Answers = list[object]


@dataclass(frozen=True)
class Folder:
    """A data folder, its files, and the right answers of each of its snapshots by id."""

    data: Path
    files: tuple[Path, ...]
    right: dict[str, Answers]
    newest: str


def lists(chance: random.Random) -> dict[str, str]:
    """Small lists of every kind, nested and in both families; all addresses are made up in documentation space."""
    nested = ["198.51.100.0/24", "198.51.100.64/26", "198.51.100.70", "198.51.100.70/31", "192.0.2.0/25"]
    nested += [f"203.0.113.{chance.randrange(256)}" for _ in range(40)]
    nested += [f"2001:db8:{chance.randrange(16):x}::/48" for _ in range(6)] + ["2001:db8::/32", "2001:db8:1::1"]
    table = [
        f"198.51.100.{start},198.51.100.{start + 31},{64496 + start // 32},Org {start}" for start in range(0, 256, 32)
    ]
    table += [
        f"2001:db8:{number:x}::,2001:db8:{number:x}:ffff:ffff:ffff:ffff:ffff,{64500 + number},Six"
        for number in range(4)
    ]
    return {
        "first": "\n".join(nested),
        "second": "\n".join(f"192.0.2.{chance.randrange(256)}" for _ in range(60)) + "\n2001:db8:2::/64",
        "domains": "\n".join(f"name{chance.randrange(1000)}.example.org" for _ in range(30)) + "\n*.wild.example.net",
        "mails": "\n".join(f"user{chance.randrange(100)}@example.com" for _ in range(20)),
        "asns": "AS64497\nAS64501\n",
        "asn_table": "\n".join(table),
        "country_table": "192.0.2.0,192.0.2.127,AQ\n198.51.100.0,198.51.100.255,BV\n2001:db8::,2001:db8::ffff,HM",
    }


OPTIONS: dict[str, dict[str, Any]] = {
    "first": {"format": "lines", "category": "attacker"},
    "second": {"format": "lines", "category": "spam"},
    "domains": {"format": "lines", "kind": "domain", "category": "disposable"},
    "mails": {"format": "lines", "kind": "email", "category": "disposable"},
    "asns": {"format": "lines", "kind": "asn", "category": "hosting"},
    "asn_table": {"format": "csv", "kind": "asn_table", "columns": {"first": 1, "last": 2, "asn": 3, "name": 4}},
    "country_table": {"format": "csv", "kind": "country_table", "columns": {"first": 1, "last": 2, "country": 3}},
}

QUESTIONS = (
    [f"{base}.{last}" for base in ("192.0.2", "198.51.100", "203.0.113") for last in range(0, 256, 11)]
    + ["0.0.0.0", "255.255.255.255", "198.51.100.70", "198.51.100.71", "::", f"{ipaddress.IPv6Address(2**128 - 1)}"]
    + [f"2001:db8:{number:x}::{low}" for number in range(0, 16, 2) for low in (0, 1)]
)


def ask(snapshot: Snapshot, question: Callable[[], object]) -> object:
    """The answer to one question; a refusal is an answer too."""
    try:
        return question()
    except SnapshotCorrupt:
        return SnapshotCorrupt


def everything(snapshot: Snapshot) -> Answers:
    """The answers to all questions there are."""
    answers: Answers = [ask(snapshot, lambda ip=ip: snapshot.lookup(ip).feeds) for ip in QUESTIONS]  # type: ignore[misc]
    answers += (ask(snapshot, lambda: [listing.feeds for listing in snapshot.lookup_many(QUESTIONS)]),)
    answers += [ask(snapshot, lambda ip=ip: snapshot.networks_naming(ip)) for ip in QUESTIONS[::2]]  # type: ignore[misc]
    answers += [ask(snapshot, lambda n=n: snapshot.domain(f"name{n}.example.org").feeds) for n in range(0, 1000, 25)]  # type: ignore[misc]
    answers += [snapshot.domain("x.wild.example.net").feeds, snapshot.domain("wild.example.org").feeds]
    answers += [snapshot.mail(f"user{number}@example.com").feeds for number in range(0, 100, 3)]
    answers += [(snapshot.country(ip), snapshot.autonomous_system(ip)) for ip in QUESTIONS[::2]]
    answers += [snapshot.generation, snapshot.built_at, [(feed.id, feed.entries) for feed in snapshot.feeds]]
    return answers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Two refreshes of lists of every kind."""
    place = tmp_path_factory.mktemp("corruption")
    data, catalogue, chance = place / "data", place / "feeds.yaml", random.Random(7)
    entries = [{"id": name, "url": (place / name).as_uri(), **options} for name, options in OPTIONS.items()]
    catalogue.write_text(json.dumps({"feeds": entries}), encoding="utf-8")
    right: dict[str, Answers] = {}
    for _ in range(2):
        for name, text in lists(chance).items():
            (place / name).write_text(text, encoding="utf-8")
        report = program.refresh(data, catalogue, "--force")
        assert report["published"], report
        with Snapshot.open_current(data) as snapshot:
            right[snapshot.id] = everything(snapshot)
            newest = snapshot.id
    assert len(right) == 2
    first, second = right.values()
    assert first != second
    assert SnapshotCorrupt not in first + second
    files = (data / "current", *sorted((data / "snapshots").iterdir()), *sorted((data / "sections").iterdir()))
    return Folder(data, files, right, newest)


@contextmanager
def damaged(path: Path, content: bytes | None) -> Iterator[None]:
    """A file with other content, or without the file, until the block ends."""
    before, mode = path.read_bytes(), path.stat().st_mode
    path.chmod(0o644)
    try:
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        yield
    finally:
        path.write_bytes(before)
        path.chmod(mode)


def outcome(folder: Folder) -> str:
    """Open the folder as a daemon does and ask everything; says how it ended and fails where an answer is wrong."""
    cell = CurrentSnapshot(folder.data)
    cell.poll()  # never raises
    snapshot = cell.snapshot
    if snapshot is None:
        with pytest.raises((NoSnapshot, SnapshotCorrupt)):
            Snapshot.open_current(folder.data)
        return "refused"
    with snapshot:
        assert snapshot.id in folder.right
        refused = 0
        for answer, right in zip(everything(snapshot), folder.right[snapshot.id], strict=True):
            refused += answer is SnapshotCorrupt
            assert answer in (right, SnapshotCorrupt)
        if snapshot.id != folder.newest:
            return "older"
        return "partly" if refused else "right"


def test_a_flipped_byte_anywhere_never_gives_a_wrong_answer(folder: Folder) -> None:
    """A byte changed at 2,000 places, headers above all: right answers, the older snapshot, or a refusal."""
    chance = random.Random(11)
    places = [(path, at) for path in folder.files for at in range(min(16, path.stat().st_size))]
    weights = [path.stat().st_size ** 0.5 for path in folder.files]
    while len(places) < FLIPS:
        path = chance.choices(folder.files, weights)[0]
        size = path.stat().st_size
        near = chance.choice((size, size, min(size, 512)))
        places.append((path, chance.randrange(near)))
    seen: Counter[str] = Counter()
    for path, at in places:
        content = bytearray(path.read_bytes())
        content[at] ^= chance.choice((1, 2, 4, 8, 16, 32, 64, 128, chance.randint(1, 255)))
        with damaged(path, bytes(content)):
            try:
                seen[outcome(folder)] += 1
            except Exception as error:
                error.add_note(f"{path.name}: byte {at} of {len(content)} is {content[at]}")
                raise
    assert sum(seen.values()) == FLIPS
    assert seen["older"] > 50
    assert seen["partly"] > 50
    assert seen["right"] > 50, "damage to the older snapshot does not hurt the newer one"


def test_a_cut_or_longer_file_never_gives_a_wrong_answer(folder: Folder) -> None:
    """Files cut short, emptied, doubled or with something appended are refused in the same way."""
    chance = random.Random(13)
    for path in folder.files:
        content = path.read_bytes()
        size = len(content)
        contents = [content[:length] for length in LENGTHS_AT_ENDS if length < size]
        contents += [content[: size - length] for length in LENGTHS_AT_ENDS[1:] if length < size]
        contents += [content[: chance.randrange(size)] for _ in range(CUTS // len(folder.files))]
        contents += [content + bytes(length) for length in LENGTHS_AT_ENDS[1:]]
        contents += [content + content, content + chance.randbytes(64), bytes(size), chance.randbytes(size)]
        for other in (*contents, None):
            with damaged(path, other):
                outcome(folder)


def test_a_file_in_the_place_of_another_is_refused(folder: Folder) -> None:
    """A whole, undamaged file of the program under a wrong name is no more trusted than noise."""
    for number, path in enumerate(folder.files):
        for other in folder.files[number % 3 :: 3]:
            if other != path:
                with damaged(path, other.read_bytes()):
                    outcome(folder)


def test_without_any_good_snapshot_there_is_one_exception(folder: Folder) -> None:
    """Where every manifest is damaged the reader raises SnapshotCorrupt; where there is none, NoSnapshot."""
    manifests = [path for path in folder.files if path.parent.name == "snapshots"]
    with damaged(manifests[0], b"noise"), damaged(manifests[1], b""), pytest.raises(SnapshotCorrupt):
        Snapshot.open_current(folder.data)
    with damaged(manifests[0], None), damaged(manifests[1], None), pytest.raises(NoSnapshot):
        Snapshot.open_current(folder.data)
