"""``GET /v1/ip`` of the daemon beside nginx ``geo`` and Redis ``GET``, over the same data, in turns.

wrk asks over HTTP with the headers that a usual client library sends, redis-benchmark asks Redis. Servers on one core,
who asks on another. The route of aiohttp is the same daemon asked with one unusual header, which the lookup protocol
leaves to aiohttp. Redis answers random keys, all of which it holds.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bench import servers
from bench.data import LARGE4, Lists, questions
from bench.measure import Row, quotient
from blocklistd import Snapshot, kernel
from blocklistd.addresses import format_address
from blocklistd.index.layout import SECTIONS, Section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROUNDS = 5
SECONDS = 1
"""Of one contender in one round."""
CONNECTIONS = (32, 1)
HEADERS = (
    "User-Agent: python-requests/2.32.3",
    "Accept: */*",
    "Accept-Encoding: gzip, deflate",
    "Connection: keep-alive",
)
UNUSUAL = "X-Other: 1"
"""Any header that the lookup protocol does not know."""
PART = "http"
NGINX, REDIS, AIOHTTP = "nginx geo", "Redis GET", "aiohttp route"
UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


class Load(NamedTuple):
    """Requests a second; median and 99th percentile of an answer, and processor time of the server a request, in µs."""

    rate: float
    p50: float
    p99: float
    cost: float


class Ask(Protocol):
    """Asks a server over so many connections for so long."""

    def __call__(self, connections: int, seconds: int = SECONDS, /) -> Load:
        """What it took."""
        ...


def rows(lists: Lists, data: Path) -> Iterator[Row]:
    """Measure over a data folder that holds a snapshot of ``lists``; says so where wrk or a peer is missing."""
    if shutil.which("wrk") is None:
        yield Row(PART, "GET /v1/ip beside peers", 0, "", note="wrk is not installed: not measured")
        return
    with ExitStack() as stack:
        contenders = _contenders(lists, data, stack)
        yield from (
            Row(PART, name, 0, "", note="not installed: not measured")
            for name in (NGINX, REDIS)
            if name not in contenders
        )
        for connections in CONNECTIONS:
            taken: dict[str, list[Load]] = {name: [] for name in contenders}
            for number in range(ROUNDS + 1):
                for name, ask in contenders.items():
                    load = ask(connections)
                    if number:  # the first round warms up
                        taken[name].append(load)
            yield from _rows(connections, taken)


def _rows(connections: int, taken: dict[str, list[Load]]) -> Iterator[Row]:
    title = f"{connections} connection{'s' if connections > 1 else ''}"
    for name, loads in taken.items():
        rate, p50, p99, cost = (statistics.median(values) for values in zip(*loads, strict=True))
        note = f"median {p50:,.0f} µs, 99 % within {p99:,.0f} µs; {cost:.1f} µs of server's processor a request"
        yield Row(PART, f"{title}, {name}", rate, "/s", note=note)
    rates = {name: [load.rate for load in loads] for name, loads in taken.items()}
    costs = {name: [load.cost for load in loads] for name, loads in taken.items()}
    medians = {name: [load.p50 for load in loads] for name, loads in taken.items()}
    wanted: tuple[tuple[str, str, float], ...] = ((kernel.COMPILED, NGINX, 1.0), (kernel.PURE, NGINX, 0.7))
    if connections > 1:
        wanted += ((kernel.COMPILED, REDIS, 1.5), (kernel.COMPILED, AIOHTTP, 0), (kernel.PURE, AIOHTTP, 4.0))
        for ours, peer, target in wanted:
            if ours in rates and peer in rates:
                note = f"target at least {target:g}" if target else ""
                yield quotient(PART, f"{title}, rate: {ours} / {peer}", rates[ours], rates[peer], note)
                yield quotient(PART, f"{title}, server's processor: {ours} / {peer}", costs[ours], costs[peer])
    else:
        for ours, peer, target in ((kernel.COMPILED, NGINX, 1.0), (kernel.PURE, NGINX, 1.2)):
            if ours in medians and peer in medians:
                note = f"target at most {target:g}"
                yield quotient(PART, f"{title}, median: {ours} / {peer}", medians[ours], medians[peer], note)


def _contenders(lists: Lists, data: Path, stack: ExitStack) -> dict[str, Callable[[int], Load]]:
    """Start all servers; how each is asked, by name. Both daemons, then the peers that are installed."""
    script = ask_script(lists, data)
    contenders: dict[str, Callable[[int], Load]] = {}
    for choice in reversed(kernel.CHOICES):
        server = stack.enter_context(servers.daemon(data, kernel=choice))
        contenders[choice] = by_wrk(script, server)
        contenders.setdefault(AIOHTTP, by_wrk(script, server, UNUSUAL))
    geo = data / "geo.conf"
    write_geo(data, geo)
    if (peer := stack.enter_context(servers.nginx(data, geo))) is not None:
        contenders[NGINX] = by_wrk(script, peer)
    if (peer := stack.enter_context(servers.redis(LARGE4))) is not None:
        contenders[REDIS] = _by_redis_benchmark(peer)
    return contenders


def ask_script(lists: Lists, data: Path) -> Path:
    """Write what tells wrk to ask for the addresses of ``questions`` in turn."""
    script = data / "ask.lua"
    (data / "addresses.txt").write_text("\n".join(questions(lists, 4)) + "\n", encoding="ascii")
    script.write_text(
        f"""local number, requests = 0, {{}}
function init(arguments)
  for line in io.lines("{data}/addresses.txt") do requests[#requests + 1] = wrk.format("GET", "/v1/ip/" .. line) end
end
function request() number = number % #requests + 1; return requests[number] end
""",
        encoding="ascii",
    )
    return script


def by_wrk(script: Path, server: servers.Server, *headers: str) -> Ask:
    """How a server with one worker is asked."""
    worker = servers.worker_of(server)
    return lambda connections, seconds=SECONDS: _wrk(script, server.port, worker, connections, headers, seconds)


def write_geo(data: Path, path: Path) -> None:
    """The listed IPv4 segments of the current snapshot as ranges for nginx, each with the number of its feed set."""
    with Snapshot.open_current(data) as snapshot:
        reference = snapshot.sections["v4"]
    section = Section(data / SECTIONS / reference.name, reference)
    starts, sets = section.arrays["starts"].tolist(), section.arrays["sets"].tolist()
    section.close()
    with path.open("w", encoding="ascii") as file:
        file.write('ranges;\ndefault "";\n')
        for start, end, number in zip(starts, [*starts[1:], 2**32], sets, strict=True):
            if number:
                file.write(f"{format_address(4, start)}-{format_address(4, end - 1)} {number};\n")


def _wrk(
    script: Path, port: int, worker: int, connections: int, headers: tuple[str, ...], seconds: int = SECONDS
) -> Load:
    options = [f"--header={header}" for header in (*HEADERS, *headers)]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), *options]
    before = servers.processor_seconds(worker)
    with servers.pinned(servers.CLIENT_CORE):
        said = subprocess.run(
            [*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, timeout=seconds + 60, check=True
        ).stdout
    used = servers.processor_seconds(worker) - before
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"a server under load failed:\n{said}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    found = {percent: (value, unit) for percent, value, unit in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s)", said)}
    count = re.search(r"(\d+) requests in", said)
    assert rate is not None, said
    assert count is not None, said
    p50, p99 = (float(found[percent][0]) * UNITS[found[percent][1]] for percent in ("50", "99"))
    return Load(float(rate[1]), p50, p99, used * 1e6 / int(count[1]))


def _by_redis_benchmark(server: servers.Server) -> Callable[[int], Load]:
    """Asks for so many keys as take about as long as wrk does, judged by the time before."""
    amount = dict.fromkeys(CONNECTIONS, 10_000)

    def ask(connections: int) -> Load:
        command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(server.port), "-c", str(connections), "--csv"]
        asked = amount[connections]
        command += ["-n", str(asked), "-r", str(LARGE4), "GET", "ip:__rand_int__"]
        before = servers.processor_seconds(server.pid)
        with servers.pinned(servers.CLIENT_CORE):
            said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        used = servers.processor_seconds(server.pid) - before
        row = [float(value) for value in re.findall(r'"([\d.]+)"', said.splitlines()[-1])]
        rate, _mean, _least, p50, _p95, p99, _most = row
        amount[connections] = max(10_000, int(rate * SECONDS))
        return Load(rate, p50 * 1e3, p99 * 1e3, used * 1e6 / asked)

    return ask
