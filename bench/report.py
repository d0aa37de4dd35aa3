"""Reports: what one costs in process, and how many a second one worker answers over HTTP.

    python -m bench.report --data DIR      over a data folder that is there

Over the whole corpus of real lists (``python -m bench report``): half of the addresses listed, half anywhere in IPv4
space. Over HTTP the route of aiohttp for /v1/ip is asked in turns with it, since both pass through the same framework.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from bench.measure import Row, table
from bench.servers import CLIENT_CORE, daemon, pinned, processor_seconds, worker_of
from blocklistd import Snapshot
from blocklistd.addresses import format_address
from blocklistd.cli.report import make_assessor
from blocklistd.settings import read_settings
from tests import corpus
from tests.acceptance import program
from tests.acceptance.static_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blocklistd.reputation.assess import Assessor

PART = "report"
QUESTIONS = 20_000
CONNECTIONS = 32
SECONDS = 3
ROUNDS = 3
PATHS = ("/v1/report/", "/v1/ip/")
TARGETS = {"report": 25.0, "rate": 6_000.0}


def rows(folder: Path) -> Iterator[Row]:
    """Refresh the corpus into a new folder and measure over it."""
    if not corpus.CORPUS.is_dir():
        yield Row(PART, "reports over the corpus", 0, "", note="the corpus is not on this machine")
        return
    data, catalogue = folder / "corpus", folder / "corpus.yaml"
    with serving(corpus.CORPUS) as server:
        corpus.write_catalogue(catalogue, server)
        program.refresh(data, catalogue)
    yield from measured(data)


def measured(data: Path) -> Iterator[Row]:
    """Measure over the snapshot of a data folder."""
    with Snapshot.open_current(data) as snapshot:
        asked = questions(snapshot)
        assessor = make_assessor(read_settings({"data": str(data)}, {}), snapshot)
        for question in asked:  # opens every list, fills what is kept
            assessor.report(question)
        listed, anywhere = _microseconds(assessor, asked[::2]), _microseconds(assessor, asked[1::2])
        note = f"median of {QUESTIONS:,}, target {TARGETS['report']:g} µs"
        yield Row(PART, "report, listed and random addresses", statistics.median(listed + anywhere), "µs", note=note)
        yield Row(PART, "report, listed addresses", statistics.median(listed), "µs")
        yield Row(PART, "report, random addresses", statistics.median(anywhere), "µs")
        reports = [assessor.report(question) for question in asked]
        begun = time.process_time()
        size = sum(len(orjson.dumps(report.as_document())) for report in reports)
        taken = (time.process_time() - begun) / len(reports) * 1e6
        yield Row(PART, "a report as JSON", taken, "µs", note=f"{size / len(reports):,.0f} bytes on average")
    yield from _http(data, asked)


def questions(snapshot: Snapshot, seed: int = 1) -> list[str]:
    """Every second one the first address of some entry of some list, the others anywhere in IPv4 space."""
    chance = random.Random(seed)
    firsts = [
        section.arrays["v4_first"]
        for record in snapshot.feeds
        if record.kind == "ip" and "v4_first" in (section := snapshot.entries_section(record.id)).arrays
    ]
    asked = []
    for _ in range(QUESTIONS // 2):
        column = chance.choice(firsts)
        asked += [format_address(4, value) for value in (chance.choice(column), chance.getrandbits(32))]
    return asked


def _microseconds(assessor: Assessor, asked: Sequence[str]) -> list[float]:
    taken = []
    for question in asked:
        begun = time.perf_counter_ns()
        assessor.report(question)
        taken.append((time.perf_counter_ns() - begun) / 1e3)
    return taken


def _http(data: Path, asked: Sequence[str]) -> Iterator[Row]:
    if shutil.which("wrk") is None:
        yield Row(PART, "GET /v1/report", 0, "", note="wrk is not installed: not measured")
        return
    (data / "asked.txt").write_text("\n".join(asked), encoding="ascii")
    with daemon(data) as server:
        worker = worker_of(server)
        rates: dict[str, list[float]] = {path: [] for path in PATHS}
        costs: dict[str, list[float]] = {path: [] for path in PATHS}
        for number in range(ROUNDS + 1):  # the first warms up
            for path in PATHS:
                before = processor_seconds(worker)
                rate, count = _wrk(data, server.port, path)
                if number:
                    rates[path].append(rate)
                    costs[path].append((processor_seconds(worker) - before) / count * 1e6)
    rate = statistics.median(rates[PATHS[0]])
    yield Row(PART, f"GET /v1/report, {CONNECTIONS} connections", rate, "/s", note=f"target {TARGETS['rate']:,.0f}/s")
    for path in PATHS:
        yield Row(PART, f"GET {path}…, processor time of the worker", statistics.median(costs[path]), "µs")


def _wrk(data: Path, port: int, path: str) -> tuple[float, int]:
    """Requests a second, and how many were answered; any other answer than 200 ends the measurement."""
    script = data / "ask.lua"
    script.write_text(
        f"""local requests, at = {{}}, 0
function init(args)
  for line in io.lines("{data}/asked.txt") do requests[#requests + 1] = wrk.format("GET", "{path}" .. line) end
end
function request() at = at % #requests + 1 return requests[at] end
""",
        encoding="ascii",
    )
    unusual = ["-H", "X-Unusual: 1"]  # so that plain lookups pass through the framework too
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), *unusual]
    with pinned(CLIENT_CORE):
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True, timeout=60
        )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    count = re.search(r"(\d+) requests in", done.stdout)
    if rate is None or count is None or "Non-2xx" in done.stdout:
        raise RuntimeError(done.stdout)
    return float(rate[1]), int(count[1])


def main() -> None:
    """Measure over a data folder, or the corpus."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    if arguments.data:
        print(table(measured(arguments.data.resolve())))
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        print(table(rows(Path(place))))


if __name__ == "__main__":
    main()
