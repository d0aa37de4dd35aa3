"""Overrides and keys over a real daemon: durable, in every worker, and asked for beyond this host."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from blocklistd.state import FILE
from blocklistd.state.audit import Actor
from blocklistd.state.database import Database
from blocklistd.state.keys import add_key
from blocklistd.state.overrides import read_overrides
from tests.daemon.running import PATIENCE, Daemon, ask, wait_for
from tests.support import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LISTEN = ("127.0.0.1:0", "0.0.0.0:0")
"""The second can be reached from beyond this host, so it asks for keys, of callers on loopback too."""


def make_keys(data: Path) -> tuple[str, str]:
    """The texts of an operator's and a reader's key."""
    actor = Actor("alice", "test")
    with Database.open(data) as database:
        return add_key(database, "op", "operator", actor, 1.0)[1], add_key(database, "rd", "read", actor, 1.0)[1]


def run(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "blocklistd", *arguments, "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def ports(daemon: Daemon) -> tuple[int, int]:
    """Of the open and of the guarded listener."""
    line = daemon.wait_line(r"answering on http://127\.0\.0\.1:(\d+), http://0\.0\.0\.0:(\d+)")
    return int(line[1]), int(line[2])


def talk(connection: http.client.HTTPConnection, path: str, key: str = "", **options: Any) -> tuple[int, bytes]:
    """One request on a connection that stays open."""
    headers = {**({"X-Api-Key": key} if key else {}), **options.pop("headers", {})}
    connection.request(options.pop("method", "GET"), path, headers=headers, **options)
    response = connection.getresponse()
    return response.status, response.read()


@contextmanager
def connected_to(daemon: Daemon, worker: int, port: int) -> Iterator[http.client.HTTPConnection]:
    """A connection that this very worker has accepted: the others were held while it was made."""
    others = [pid for pid in daemon.workers() if pid != worker]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert talk(connection, "/healthz")[0] == 200
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)
    try:
        yield connection
    finally:
        connection.close()


def refused(connection: http.client.HTTPConnection, key: str) -> bool:
    return talk(connection, "/v1/ip/192.0.2.1", key)[0] == 401


def entries(connection: http.client.HTTPConnection) -> int:
    """How many overrides are in force in the worker at the other end."""
    text = talk(connection, "/metrics")[1].decode()
    found = re.search(r"^blocklistd_override_entries (\d+)", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_what_the_operator_says_holds_in_every_worker_and_after_kill_9(tmp_path: Path) -> None:
    """An entry put over HTTP at one worker and a key revoked by a command reach both; killed, nothing told is lost."""
    operator, reader = make_keys(tmp_path)
    make_snapshot(tmp_path, {"alpha": ["192.0.2.0/24"]})
    with Daemon(tmp_path, "--no-refresh", "--workers", "2", listen=LISTEN) as daemon:
        open_port, guarded_port = ports(daemon)
        one, other = daemon.workers()
        with (
            connected_to(daemon, one, open_port) as first,
            connected_to(daemon, other, open_port) as second,
            connected_to(daemon, one, guarded_port) as third,
            connected_to(daemon, other, guarded_port) as fourth,
        ):
            body = json.dumps({"action": "deny", "reason": "ticket 17"})
            headers = {"Content-Type": "application/json"}
            answer = talk(first, "/v1/overrides/DE", operator, method="PUT", body=body, headers=headers)
            assert answer[0] == 201, answer
            assert entries(first) == 1
            wait_for(lambda: entries(second) == 1, "the other worker to know the entry")
            done = run("override", "allow", "192.0.2.0/24", "--reason", "ours", data=tmp_path)
            assert done.returncode == 0, done.stderr
            wait_for(lambda: entries(first) == entries(second) == 2, "both workers to know the second entry")
            for connection in (first, second):
                report = json.loads(talk(connection, "/v1/report/192.0.2.1")[1])
                assert (report["verdict"], report["decided_by"]) == ("allow", "override 192.0.2.0/24")
            for connection in (third, fourth):
                assert [talk(connection, "/v1/ip/192.0.2.1", key)[0] for key in (reader, operator, "")] == [
                    200,
                    200,
                    401,
                ]
            assert run("key", "revoke", "rd", data=tmp_path).returncode == 0
            for connection in (third, fourth):
                wait_for(partial(refused, connection, reader), "the key to be refused")
                assert talk(connection, "/v1/ip/192.0.2.1", operator)[0] == 200
            told = [
                talk(first, f"/v1/overrides/192.0.2.{n}", operator, method="PUT", body=body, headers=headers)[0]
                for n in range(9)
            ]
            os.killpg(daemon.process.pid, signal.SIGKILL)
        assert told == [201] * 9
    with Database.open(tmp_path) as database:
        kept = {entry.key for entry in read_overrides(database, time.time())}
    assert kept == {"DE", "192.0.2.0/24", *(f"192.0.2.{number}" for number in range(9))}


def test_a_daemon_with_a_broken_state_answers_on_this_host_and_nobody_else(tmp_path: Path) -> None:
    """It starts, says so in the log, and lets nobody in from outside; mended, it goes on without a restart."""
    _, reader = make_keys(tmp_path)
    make_snapshot(tmp_path, {"alpha": ["192.0.2.0/24"]})
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(b"nonsense" * 1000)
    with Daemon(tmp_path, "--no-refresh", listen=LISTEN) as daemon:
        open_port, guarded_port = ports(daemon)
        daemon.wait_line("overrides and keys stay as they are: state.db is damaged")
        assert ask(("127.0.0.1", open_port), "/v1/ip/192.0.2.1").status == 200
        guarded = ("127.0.0.1", guarded_port)
        assert ask(guarded, "/v1/ip/192.0.2.1", headers={"X-Api-Key": reader}).status == 503
        assert ask(guarded, "/healthz").status == 200
        for path in tmp_path.glob(f"{FILE}*"):
            path.unlink()
        (tmp_path / FILE).write_bytes(whole)
        wait_for(lambda: ask(guarded, "/v1/ip/192.0.2.1", headers={"X-Api-Key": reader}).status == 200, "the key")
        assert ask(guarded, "/v1/ip/192.0.2.1").status == 401
        daemon.wait_line("can be read again")


def test_without_keys_it_does_not_listen_beyond_this_host(tmp_path: Path) -> None:
    """Status 2 and a sentence that says how to make one."""
    done = run("serve", "--listen", "0.0.0.0:0", data=tmp_path)
    assert done.returncode == 2
    assert "blocklistd key add" in done.stderr
    assert not (tmp_path / FILE).exists()
