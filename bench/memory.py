"""What a worker holds for itself at a million segments, after it has answered for a while: Private_* of smaps_rollup.

Pages of mapped files count as private while one process alone has them mapped; with one worker that includes the index
itself. So a worker is measured alone and as one of two, and the dirty part is told apart.
"""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import TYPE_CHECKING

from bench import servers
from bench.data import Lists, questions
from bench.measure import Row
from blocklistd import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

PART = "memory"
ASKED = 20_000
TARGETS = {kernel.PURE: 50, kernel.COMPILED: 40}


def rows(lists: Lists, data: Path) -> Iterator[Row]:
    """Workers of each kernel over ``data``."""
    asked = questions(lists, 4)[:ASKED]
    for choice in kernel.CHOICES:
        for workers, title in ((1, "alone"), (2, "of two")):
            with servers.daemon(data, workers=workers, kernel=choice) as server:
                _ask(server.port, "/readyz", "/metrics")  # now everything is imported
                _ask(server.port, *(f"/v1/ip/{ip}" for ip in asked))
                found = [_private(pid) for pid in servers.workers_of(server, workers)]
            dirty, clean = max(found, key=sum)
            note = f"{dirty:.1f} MB of it dirty; target at most {TARGETS[choice]} MB"
            yield Row(PART, f"private memory of a worker, {title}: {choice}", dirty + clean, "MB", note=note)


def _private(pid: int) -> tuple[float, float]:
    """Megabytes that a process shares with none: dirty and clean."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in rollup.splitlines()[1:]}
    return sizes["Private_Dirty"], sizes["Private_Clean"]


def _ask(port: int, *paths: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        for path in paths:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"status {response.status} for {path}")
    finally:
        connection.close()
