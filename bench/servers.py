"""Servers to measure, each on the first core: the daemon, nginx with ``geo``, Redis. And the second core for who asks.

All context managers start a process, wait until it answers, give a ``Server`` and end the process. A peer that is not
installed gives None.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.acceptance import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATIENCE = 30.0
"""Seconds for a server to start."""
BATCH = 10_000
"""Keys written to Redis at once."""
REDIS_VALUE = b'{"ip":"192.0.2.1","listed":true,"feeds":["feed_01","feed_02"],"snapshot":"20260101T000000Z-00000000"}'
"""As long as an answer of the daemon."""

_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = _CORES[0], _CORES[min(1, len(_CORES) - 1)]


@dataclass(frozen=True)
class Server:
    """A running server and the process that was started for it."""

    port: int
    pid: int


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Processes started within run on this core only."""
    former = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, former)


@contextmanager
def started(command: Sequence[str], port: int, environment: dict[str, str] | None = None) -> Iterator[Server]:
    """A pinned server process, from exec until it was told to end; ready as soon as its port is open."""
    with pinned(SERVER_CORE):
        process: subprocess.Popen[Any] = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    with process:
        try:
            _wait_open(port, process)
            yield Server(port, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_open(port: int, process: subprocess.Popen[Any]) -> None:
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not listen after {PATIENCE:g} s")


@contextmanager
def daemon(data: Path, *, workers: int = 1, **settings: str) -> Iterator[Server]:
    """The daemon over a data folder; settings: ``BLOCKLISTD_…`` variables, as kernel="pure"."""
    catalogue = data / "feeds.yaml"
    feed = {"id": "none", "url": "https://example.org/list", "format": "lines", "category": "attacker"}
    catalogue.write_text(json.dumps({"feeds": [feed]}), encoding="utf-8")
    port = program.free_port()
    command = program.command("serve", "--no-refresh", "--listen", f"127.0.0.1:{port}", "--workers", str(workers))
    with started(command, port, program.environment(data, catalogue, **settings)) as server:
        yield server


def worker_of(server: Server) -> int:
    """The pid of the only worker of the daemon or of nginx."""
    return workers_of(server, 1)[0]


def workers_of(server: Server, count: int) -> list[int]:
    """The pids of so many workers."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:  # a port may be open before the worker is there
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(encoding="ascii").split()
        found = [int(pid) for pid in children if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise RuntimeError(f"process {server.pid} has no {count} workers after {PATIENCE:g} s")


def processor_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def nginx(folder: Path, geo: Path) -> Iterator[Server | None]:
    """One nginx worker that answers ``/v1/ip/{ip}`` from a file of ranges, with about as many bytes as the daemon."""
    found = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if found is None:
        yield None
        return
    port, configuration = program.free_port(), folder / "nginx.conf"
    configuration.write_text(
        f"""worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  default_type application/json;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  map $uri $asked {{ "~^/v1/ip/(.+)$" $1; default ""; }}
  geo $asked $found {{ include {geo}; }}
  server {{
    listen 127.0.0.1:{port};
    location /v1/ip/ {{
      return 200 '{{"ip":"$asked","set":"$found","listed":true,"feeds":[],"snapshot":"20260101T000000Z-00000000"}}';
    }}
  }}
}}
""",
        encoding="utf-8",
    )
    command = [found, "-c", str(configuration), "-p", str(folder), "-e", str(folder / "nginx.log")]
    with started(command, port) as server:
        yield server


@contextmanager
def redis(keys: int) -> Iterator[Server | None]:
    """Redis without persistence, holding the keys ``ip:000000000000`` and on, as redis-benchmark asks for them."""
    found = shutil.which("redis-server")
    if found is None or shutil.which("redis-benchmark") is None:
        yield None
        return
    port = program.free_port()
    command = [found, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with started(command, port) as server:
        _fill(port, keys)
        yield server


def _fill(port: int, keys: int) -> None:
    """Write the keys with MSET; every batch is answered with ``+OK``."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        for begin in range(0, keys, BATCH):
            names = range(begin, min(begin + BATCH, keys))
            parts = [b"*%d\r\n$4\r\nMSET\r\n" % (1 + 2 * len(names))]
            parts += [b"$15\r\nip:%012d\r\n$%d\r\n%s\r\n" % (name, len(REDIS_VALUE), REDIS_VALUE) for name in names]
            connection.sendall(b"".join(parts))
            answer = b""
            while not answer.endswith(b"\r\n"):
                answer += connection.recv(4096)
            if answer != b"+OK\r\n":
                raise RuntimeError(f"redis does not take keys: {answer[:100]!r}")
