"""A refresh killed at many random moments: what is served is the old snapshot or the new one, never a third."""

from __future__ import annotations

import ipaddress
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import IO, TYPE_CHECKING

import pytest

from blocklistd import Snapshot
from blocklistd.collect.state import bodies, read_states
from blocklistd.collect.store import verify
from blocklistd.files import TEMPORARY
from tests.acceptance import oracle, program
from tests.acceptance.static_server import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FOLDERS = 2
"""So many data folders are mistreated at once."""
KILLS = int(os.environ.get("BLOCKLISTD_KILLS", "40")) // FOLDERS
"""In each of them; BLOCKLISTD_KILLS=100 is what .ci/run asks for."""
KILLS_A_CALM = min(25, KILLS)
"""After so many a refresh is let through."""
MOMENTS = (("refreshing", 0.5), ("updated", 0.02), ("refreshing", 0.3), ("compiling", 0.05), ("compiling", 0.25))
"""A kill waits until the refresh has said this, and then at most so many seconds: while processes start and lists are
fetched and parsed, while feed after feed is kept, while the index is made and published."""

FEEDS = 10
ENTRIES = 1000


class Folder:
    """A catalogue of made-up lists that change from version to version, the data folder, and who refreshes it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.lists, self.data, self.catalogue = folder / "lists", folder / "data", folder / "feeds.yaml"
        self.lists.mkdir(parents=True)
        self.chance = random.Random(seed)
        self.probes: list[oracle.Address] = []
        self.expected: dict[str, list[tuple[str, ...]]] = {}
        self.ids = [f"feed_{number}" for number in range(FEEDS)]
        entries = [
            {"id": name, "url": (self.lists / name).as_uri(), "format": "lines", "category": "attacker"}
            | {"gate": "none"}  # each version is another list altogether
            for name in self.ids
        ]
        self.catalogue.write_text(json.dumps({"feeds": entries}), encoding="utf-8")

    def change(self) -> list[tuple[str, ...]]:
        """Write the next version of all lists; gives the right answers to the probes."""
        feeds = []
        for name in self.ids:
            listed = oracle.ListedFeed()
            with (self.lists / name).open("w", encoding="ascii") as file:
                for _ in range(ENTRIES):
                    value = self.chance.randrange(0x01000000, 0x01400000)
                    length = self.chance.choice((32, 32, 32, 30, 24))
                    text = f"{ipaddress.IPv4Address(value)}/{length}"
                    file.write(f"{text}\n")
                    listed.add(*(oracle.entry(text) or (0, 0, 0)))
            feeds.append(listed)
        if not self.probes:
            self.probes = [(4, self.chance.randrange(0x01000000, 0x01400000)) for _ in range(1000)]
        named = oracle.answer(feeds, self.probes)
        return [tuple(self.ids[position] for position in named[probe]) for probe in self.probes]

    def answers(self) -> list[tuple[str, ...]] | None:
        """What the published snapshot says of the probes, None if there is none. It must never be damaged."""
        if not (self.data / "current").exists():
            return None
        with Snapshot.open_current(self.data) as snapshot:
            assert snapshot.id == (self.data / "current").read_text().strip()
            return [snapshot.lookup(value).feeds for _, value in self.probes]

    def pointer(self) -> str:
        """What names the published snapshot now."""
        return (self.data / "current").read_text()

    def leftovers(self) -> list[str]:
        """Files in the data folder that should not be there after a good refresh."""
        strays = [str(path) for path in self.data.rglob("*") if path.name.startswith(TEMPORARY)]
        named = {part.path.name for state in read_states(self.data).values() for part in state.parts}
        strays += [
            path.name for path in bodies(self.data).iterdir() if path.suffix == ".body" and path.name not in named
        ]
        return strays


def run(
    refresher: subprocess.Popen[str],
    kill: tuple[str, int, float] | None,
    moved: Callable[[], bool] | None = None,
) -> tuple[int, str]:
    """One refresh; exit status and what it said.

    kill: after this word was said so many times, and so many seconds, or as soon as ``moved`` says yes.
    """
    assert refresher.stdin is not None
    assert refresher.stdout is not None
    refresher.stdin.write("run\n")
    refresher.stdin.flush()
    pid = int(_line(refresher.stdout).removeprefix("pid "))
    said = ""
    if kill is not None:
        word, times, seconds = kill
        while said.count(word) < times and "end " not in said:
            said += _line(refresher.stdout)
        if moved is None:
            time.sleep(seconds)
        else:
            limit = time.monotonic() + 10
            while not moved() and time.monotonic() < limit:
                pass  # the pass has only milliseconds left once it has published
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while not (last := said.rpartition("\n")[0].rpartition("\n")[2]).startswith("end "):
        said += _line(refresher.stdout)
    return int(last.removeprefix("end ")), said


def _line(stream: IO[str]) -> str:
    line = stream.readline()
    assert line, "the refresher died"
    return line


def mistreat(folder: Folder) -> dict[str, int]:
    """Kill refreshes of a folder over and over, checking after each; counts how each ended."""
    ends = {"old": 0, "new": 0, "killed": 0}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.refresher"],
        cwd=REPOSITORY,
        env=program.environment(folder.data, folder.catalogue),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as refresher:
        new = folder.change()
        for attempt in range(2 * KILLS):
            if ends["killed"] == KILLS:
                break
            if attempt % KILLS_A_CALM == 0:
                _let_through(folder, refresher, new)
                old, new = new, folder.change()
            word, longest = MOMENTS[attempt % len(MOMENTS)]
            times = folder.chance.randint(1, FEEDS) if word == "updated" else 1
            kill = (word, times, folder.chance.random() * longest)
            before = folder.pointer()
            published = partial(lambda pointer: folder.pointer() != pointer, before)
            at_publishing = word == "compiling" and attempt % 2 == 0
            status, said = run(refresher, kill, published if at_publishing else None)
            assert status in {-signal.SIGKILL, 0}, said
            answers = folder.answers()
            assert answers in (old, new), f"attempt {attempt}, killed at {kill}: a third snapshot"
            if status == -signal.SIGKILL:
                ends["killed"] += 1
                ends["new" if answers == new else "old"] += 1
            if answers == new:
                old, new = new, folder.change()
        _let_through(folder, refresher, new)
        assert refresher.stdin is not None
        refresher.stdin.close()
        refresher.wait(10)
    return ends


def _let_through(folder: Folder, refresher: subprocess.Popen[str], new: list[tuple[str, ...]]) -> None:
    """A refresh that nobody kills publishes the new lists and leaves nothing lying about."""
    status, said = run(refresher, None)
    assert status == 0, said
    assert folder.answers() == new
    limit = time.monotonic() + 5
    while (strays := folder.leftovers()) and time.monotonic() < limit:
        time.sleep(0.02)  # a parsing process whose parent was killed may still be about to end
    assert strays == []
    states = read_states(folder.data)
    assert {name for name, state in states.items() if state.parts and all(map(verify, state.parts))} == set(folder.ids)
    assert all(state.finished_at >= state.attempted_at for state in states.values())


@pytest.mark.timeout(180)
def test_a_killed_refresh_leaves_the_old_snapshot_or_the_new_one(tmp_path: Path) -> None:
    """After SIGKILL at any moment answers are those before or those after, and the next refresh cleans up."""
    folders = [Folder(tmp_path / f"folder{number}", number) for number in range(FOLDERS)]
    with ThreadPoolExecutor(FOLDERS) as pool:
        ends = list(pool.map(mistreat, folders))
    assert [each["killed"] for each in ends] == [KILLS] * FOLDERS
    assert sum(each["old"] for each in ends) >= 10
    assert sum(each["new"] for each in ends) >= 2, "no kill came after publishing: the moments are badly chosen"
