"""Plain lookups while something else goes on: snapshots are swapped, or many addresses are asked at once.

wrk asks over 32 connections and gives the 99th percentile, quiet and busy in turn; a client of our own asks about a
thousand times a second beside it and holds every answer against what the library says of the snapshot that it names.
Two snapshots take turns: one has a feed more. A swap is a new pointer; the worker maps and verifies all sections again.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import statistics
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench import servers
from bench.data import Lists, questions, text_of
from bench.http_peers import Ask, Load, ask_script, by_wrk
from bench.measure import Row, quotient
from blocklistd import Snapshot, kernel
from blocklistd.index.folder import point_to
from blocklistd.index.layout import SNAPSHOTS
from blocklistd.web.bodies import Answers
from tests.support import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PART = "swaps"
ROUNDS = 5
SWAPS = 40
"""In each round: 200 in all."""
EVERY = 0.55
"""Seconds between two; a worker looks twice a second."""
QUIET = 4
"""Seconds of a round without swaps or bulk requests; bulk requests take as long."""
CONNECTIONS = 32
CHECKED = 2000
"""Addresses the checking client asks for."""
MOST_TIMES = 2.0
"""The 99th percentile during swaps, at most so many times the quiet one."""
MOST_MICROSECONDS = 10_000.0
"""The same while 50,000 addresses are asked at once."""
BULK_MILLISECONDS = {kernel.PURE: 80, kernel.COMPILED: 30}


@dataclass
class Checked:
    """What the checking client saw."""

    answers: int = 0
    wrong: int = 0
    failed: int = 0
    seen: list[str] = field(default_factory=list)
    """The snapshot of the first answer and of every answer that named another one than the answer before."""


def rows(lists: Lists, data: Path) -> Iterator[Row]:
    """Measure over ``data``, which holds a snapshot of ``lists``; both kernels."""
    if shutil.which("wrk") is None:
        yield Row(PART, "lookups meanwhile", 0, "", note="wrk is not installed: not measured")
        return
    with Snapshot.open_current(data) as snapshot:
        first = snapshot.id
    second = make_snapshot(data, lists.feeds | {"one_more": [text_of(4, network) for network in lists.four[::7]]})
    script = ask_script(lists, data)
    asked = questions(lists, 4)
    expected = {name: _answers(data, name, asked[:CHECKED]) for name in (first, second)}
    for choice in kernel.CHOICES:
        point_to(data, second)
        with servers.daemon(data, kernel=choice) as server:
            ask = by_wrk(script, server)
            yield from _bulk(choice, server, ask, asked)
            yield from _swaps(choice, server, ask, data, (first, second), expected)
    point_to(data, second)


def _answers(data: Path, name: str, asked: Sequence[str]) -> dict[str, bytes]:
    with Snapshot.open(data / SNAPSHOTS / name) as snapshot:
        answers = Answers(snapshot)
        return {ip: answers.single(ip) for ip in asked}


def _swaps(
    choice: str,
    server: servers.Server,
    ask: Ask,
    data: Path,
    names: tuple[str, str],
    expected: Mapping[str, Mapping[str, bytes]],
) -> Iterator[Row]:
    quiet: list[Load] = []
    busy: list[Load] = []
    with checking(server.port, expected) as checked:
        ask(CONNECTIONS, 1)
        for _ in range(ROUNDS):
            quiet.append(ask(CONNECTIONS, QUIET))
            swapping = threading.Thread(target=_swap, args=(data, names))
            swapping.start()
            busy.append(ask(CONNECTIONS, round(SWAPS * EVERY)))
            swapping.join()
    title = f"{ROUNDS * SWAPS} swaps, {choice}"
    note = f"of {checked.answers:,} checked, {len(checked.seen) - 1} swaps seen in them; wrk saw none fail; target 0"
    yield Row(PART, f"{title}: failed or wrong answers", checked.failed + checked.wrong, "", note=note)
    for name, loads in (("quiet", quiet), ("swapping", busy)):
        rate, p50, p99, _ = (statistics.median(values) for values in zip(*loads, strict=True))
        yield Row(PART, f"{title}: {name}, 99 % within", p99, "µs", note=f"median {p50:,.0f} µs, {rate:,.0f} /s")
    tails = [load.p99 for load in busy], [load.p99 for load in quiet]
    yield quotient(PART, f"{title}: 99 % within, swapping / quiet", *tails, f"target at most {MOST_TIMES:g}")


def _swap(data: Path, names: tuple[str, str]) -> None:
    for number in range(SWAPS):
        point_to(data, names[number % 2])
        time.sleep(EVERY)


def _bulk(choice: str, server: servers.Server, ask: Ask, asked: Sequence[str]) -> Iterator[Row]:
    body, stop = json.dumps(asked).encode(), threading.Event()
    taken: list[float] = []

    def post(niceness: int) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        while not stop.is_set():
            begun = time.perf_counter()
            connection.request("POST", "/v1/ip", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200 or not response.read().startswith(b"["):
                raise RuntimeError(f"a bulk request got {response.status}")
            taken.append(time.perf_counter() - begun)
        connection.close()

    @contextmanager
    def posting(niceness: int) -> Iterator[None]:
        taken.clear()
        stop.clear()
        client = threading.Thread(target=post, args=(niceness,))
        with servers.pinned(servers.CLIENT_CORE):
            client.start()
        try:
            yield
        finally:
            stop.set()
            client.join()

    with posting(0):
        time.sleep(QUIET)
    alone = statistics.median(taken[1:] or taken) * 1e3  # the first one warms up
    title = f"50,000 addresses at once, {choice}"
    yield Row(PART, f"{title}: alone", alone, "ms", note=f"target at most {BULK_MILLISECONDS[choice]} ms")
    with posting(19):  # wrk, on the same core, must not wait for it
        load = ask(1, QUIET)
    note = f"median {load.p50:,.0f} µs, beside {len(taken)} of them; target at most {MOST_MICROSECONDS:,.0f}"
    yield Row(PART, f"{title}: others meanwhile, 99 % within", load.p99, "µs", note=note)


@contextmanager
def checking(port: int, expected: Mapping[str, Mapping[str, bytes]]) -> Iterator[Checked]:
    """A client that asks and compares until the end of the block; expected: answers by snapshot and address."""
    checked, stop = Checked(), threading.Event()

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not stop.is_set():
            for ip in next(iter(expected.values())):
                time.sleep(0.001)
                if stop.is_set():
                    break
                _check(connection, ip, expected, checked)
        connection.close()

    client = threading.Thread(target=work)
    client.start()
    try:
        yield checked
    finally:
        stop.set()
        client.join()


def _check(
    connection: http.client.HTTPConnection, ip: str, expected: Mapping[str, Mapping[str, bytes]], checked: Checked
) -> None:
    checked.answers += 1
    try:
        connection.request("GET", f"/v1/ip/{ip}")
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        checked.failed += 1
        connection.close()
        return
    if response.status != 200:
        checked.failed += 1
        return
    named = json.loads(body)["snapshot"]
    checked.wrong += expected.get(named, {}).get(ip) != body
    if not checked.seen or checked.seen[-1] != named:
        checked.seen.append(named)
