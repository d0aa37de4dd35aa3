"""What a worker holds for itself at a million segments, after it has answered for a while: Private_* of smaps_rollup.

Pages of mapped files that only one process has mapped count as private; with one worker that includes the index
itself. The dirty part is what every further worker costs.
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
    from collections.abc import Iterator, Sequence

PART = "memory"
ASKED = 20_000
TARGETS = {kernel.PURE: 50, kernel.COMPILED: 40}


def rows(lists: Lists, data: Path) -> Iterator[Row]:
    """One worker of each kernel over ``data``."""
    asked = questions(lists, 4)[:ASKED]
    for choice in kernel.CHOICES:
        with servers.daemon(data, kernel=choice) as server:
            _ask(server.port, asked)
            rollup = Path(f"/proc/{servers.worker_of(server)}/smaps_rollup").read_text(encoding="ascii")
        private = {
            line.split(":")[0]: int(line.split()[1]) * 1024
            for line in rollup.splitlines()
            if line.startswith("Private_")
        }
        dirty = private["Private_Dirty"] / 1e6
        note = f"{dirty:.1f} MB of it dirty; target at most {TARGETS[choice]} MB"
        yield Row(PART, f"private memory of a worker: {choice}", sum(private.values()) / 1e6, "MB", note=note)


def _ask(port: int, asked: Sequence[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        for ip in asked:
            connection.request("GET", f"/v1/ip/{ip}")
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"status {response.status} for {ip}")
    finally:
        connection.close()
