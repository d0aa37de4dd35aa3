"""A cold refresh of the whole corpus from loopback, and how soon a restarted daemon answers from what it made.

Memory is that of the whole process tree, sampled twenty times a second: RSS adds up pages that processes share, PSS
counts each page once. Only measured where the corpus is present.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.measure import Row
from tests import corpus
from tests.acceptance import program
from tests.acceptance.static_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator


class Memory(NamedTuple):
    """Bytes: RSS and PSS of all processes together, and the most that any of them ever held (RSS)."""

    rss: int
    pss: int
    largest: int


SAMPLES = 20
"""A second."""
RUNS = 3
TARGETS = {"seconds": 10.0, "memory": 700.0, "restart": 0.8}


def rows(folder: Path) -> Iterator[Row]:
    """Refresh into a new folder several times, then restart a daemon on the last."""
    if not corpus.CORPUS.is_dir():
        yield Row("refresh", "cold refresh of the corpus", 0, "", note="the corpus is not on this machine")
        return
    data, catalogue = folder / "data", folder / "feeds.yaml"
    seconds: list[float] = []
    peaks: list[Memory] = []
    with serving(corpus.CORPUS) as server:
        feeds = len(corpus.write_catalogue(catalogue, server))
        for _ in range(RUNS):
            shutil.rmtree(data, ignore_errors=True)
            taken, peak = refresh(data, catalogue)
            seconds.append(taken)
            peaks.append(peak)
    name = f"cold refresh of {feeds} real lists"
    yield Row("refresh", name, statistics.median(seconds), "s", note=f"target {TARGETS['seconds']:g} s")
    target = f"target {TARGETS['memory']:g} MB"
    yield Row(
        "refresh", "peak memory of all its processes, PSS", max(peak.pss for peak in peaks) / 1e6, "MB", note=target
    )
    yield Row(
        "refresh",
        "peak memory of all its processes, RSS",
        max(peak.rss for peak in peaks) / 1e6,
        "MB",
        note="shared pages counted twice",
    )
    yield Row("refresh", "largest single process, RSS", max(peak.largest for peak in peaks) / 1e6, "MB")
    restarts = [restart(data, catalogue) for _ in range(RUNS + 2)]
    note = f"exec to the first 200 of /v1/ip, target {TARGETS['restart']:g} s"
    yield Row("refresh", "restart to first answer", statistics.median(restarts), "s", note=note)


def refresh(data: Path, catalogue: Path) -> tuple[float, Memory]:
    """One refresh: wall seconds and the peaks of its process tree."""
    begun = time.perf_counter()
    with subprocess.Popen(
        program.command("refresh", "--json"),
        env=program.environment(data, catalogue),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        peak = Memory(0, 0, 0)
        while process.poll() is None:
            peak = Memory(*map(max, zip(peak, memory_of_tree(process.pid), strict=True)))
            try:
                process.wait(1 / SAMPLES)
            except subprocess.TimeoutExpired:
                continue
        taken = time.perf_counter() - begun
        assert process.stdout is not None
        report = json.loads(process.stdout.read())
    assert process.returncode == 0
    assert report["published"]
    return taken, peak


def memory_of_tree(root: int) -> Memory:
    """What a process and all its descendants hold now."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(encoding="ascii", errors="replace")
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    tree, grown = {root}, True
    while grown:
        members = {pid for pid, parent in parents.items() if parent in tree} | tree
        tree, grown = members, len(members) > len(tree)
    rss = pss = largest = 0
    for pid in tree:
        try:
            rollup = _fields(Path(f"/proc/{pid}/smaps_rollup"))
            status = _fields(Path(f"/proc/{pid}/status"))
        except OSError:
            continue
        rss += rollup.get("Rss", 0)
        pss += rollup.get("Pss", 0)
        largest = max(largest, status.get("VmHWM", 0))
    return Memory(rss, pss, largest)


def _fields(path: Path) -> dict[str, int]:
    """The lines ``name: number kB`` of a file of /proc, in bytes."""
    lines = (line.split() for line in path.read_text(encoding="ascii", errors="replace").splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in lines if len(row) == 3 and row[2] == "kB"}


def restart(data: Path, catalogue: Path) -> float:
    """Seconds from exec of the daemon to its first answer about an address."""
    port = program.free_port()
    begun = time.monotonic()
    with subprocess.Popen(
        program.command("serve", "--no-refresh", "--listen", f"127.0.0.1:{port}"),
        env=program.environment(data, catalogue),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            return program.wait_ready(port, process, "/v1/ip/192.0.2.1") - begun
        finally:
            process.terminate()
            process.wait(20)
