"""The daemon as its operator meets it: start, answer, switch, drain, stop."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path

import aiohttp
import pytest

from tests.daemon.running import PATIENCE, Daemon, ask, command_line, wait_for, write_catalogue
from tests.support import make_snapshot

FEEDS = {"alpha": ["192.0.2.0/24"], "beta": ["192.0.2.1", "2001:db8::1"]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def test_it_starts_without_network_and_without_a_snapshot(tmp_path: Path, data: Path) -> None:
    """It answers, says plainly which feed could not be fetched and why, and is not ready until there is a snapshot."""
    with socket.socket() as closed:  # bound, not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        catalogue = write_catalogue(tmp_path, alpha=f"http://127.0.0.1:{closed.getsockname()[1]}/list")
        with Daemon(data, "--config", str(catalogue)) as daemon:
            assert daemon.ask("/healthz").status == 200
            daemon.wait_line(r"alpha.*refused")
            ready = daemon.ask("/readyz")
            assert (ready.status, ready.kind) == (503, "application/problem+json")
            assert daemon.ask("/v1/ip/192.0.2.1").status == 503
            feed = wait_for(lambda: next(iter(daemon.ask("/v1/feeds").json["feeds"]), None), "the feed")
            assert (feed["id"], feed["in_snapshot"]) == ("alpha", False)
            wait_for(lambda: daemon.ask("/v1/feeds/alpha").json["state"] == "failed", "the failure in feeds")
            assert "refused" in daemon.ask("/v1/feeds/alpha").json["reason"]
            daemon.wait_line("no snapshot yet")
            assert daemon.stop() == 0


def test_it_answers_from_the_stored_snapshot_at_once(data: Path) -> None:
    """The first answer comes from the snapshot of the last run, before anything is fetched."""
    snapshot = make_snapshot(data, FEEDS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Daemon(data, "--no-refresh", listen=[f"127.0.0.1:{port}"]) as daemon:
        reply = wait_for(lambda: ask(("127.0.0.1", port), "/v1/ip/192.0.2.1"), "an answer")
        assert reply.json == {"ip": "192.0.2.1", "listed": True, "feeds": ["alpha", "beta"], "snapshot": snapshot}
        daemon.wait_line(rf"answering on http://127\.0\.0\.1:{port}: snapshot {snapshot}")


def test_the_supervisor_starts_light(data: Path) -> None:
    """Neither the web server nor numpy is ever loaded by the command, nor pydantic before the workers are started."""
    script = (
        "import sys; import blocklistd.cli.serve, blocklistd.daemon.supervisor;"
        "heavy = {'aiohttp', 'numpy', 'pydantic', 'apscheduler', 'rich', 'prometheus_client'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "modules",
    [
        "blocklistd.daemon.worker, blocklistd.web.connections, blocklistd.web.service",
        "blocklistd.cli.serve, blocklistd.daemon.launch",
    ],
)
def test_who_answers_first_starts_light(modules: str) -> None:
    """What a worker needs for a plain lookup imports no aiohttp; what starts a worker imports no index."""
    heavy = {"aiohttp", "numpy", "netaddr", "yaml", *(("blocklistd.index", "asyncio") if "launch" in modules else ())}
    script = f"import sys; import {modules}; sys.exit(', '.join(sorted({heavy!r} & set(sys.modules))) or 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_refresh_publishes_what_workers_then_answer(tmp_path: Path, data: Path) -> None:
    """Fetch, compile, publish, switch: the whole way, started by the schedule and shown on the terminal."""
    listed = tmp_path / "list.txt"
    listed.write_text("203.0.113.0/24\n")
    catalogue = write_catalogue(tmp_path, alpha=listed.as_uri())
    with Daemon(data, "--config", str(catalogue), "--workers", "2") as daemon:
        wait_for(lambda: generations(daemon) == {1}, "both workers to switch")
        assert daemon.ask("/readyz").status == 200
        assert daemon.ask("/v1/ip/203.0.113.9").json["feeds"] == ["alpha"]
        daemon.wait_line("refreshing: alpha is due")
        daemon.wait_line(r"refreshed in .* 1 updated; snapshot ")
        listed.write_text("203.0.113.0/24\n198.51.100.1\n")
        reply = daemon.ask("/v1/refresh", method="POST")
        assert (reply.status, reply.json["accepted"]) == (202, True)
        wait_for(lambda: daemon.ask("/v1/ip/198.51.100.1").json["listed"], "the second snapshot")
        metrics = daemon.metrics()
        assert metrics["blocklistd_refreshes_total", "ok"] >= 1
        assert metrics["blocklistd_refresh_ok",] == 1
        assert metrics["blocklistd_catalogue_reload_ok",] == 1


def generations(daemon: Daemon) -> set[float]:
    """What the workers answer from."""
    return {value for key, value in daemon.metrics().items() if key[0] == "blocklistd_worker_generation"}


class Expectations(dict[str, list[str]]):
    """Snapshot id → feeds that name 192.0.2.1; an id not noted yet is the one being published."""

    newest: list[str]

    def __missing__(self, snapshot: str) -> list[str]:
        return self.newest

    def publish(self, data: Path, feeds: dict[str, list[str]]) -> None:
        self.newest = list(feeds)
        self[make_snapshot(data, feeds)] = self.newest


async def test_three_workers_switch_within_two_seconds_without_a_failed_request(data: Path) -> None:
    """Under load every worker answers from each new snapshot in time, and no request fails or mixes snapshots."""
    expectations = Expectations()
    expectations.publish(data, FEEDS)
    with Daemon(data, "--no-refresh", "--workers", "3") as daemon:
        host, port = await asyncio.to_thread(lambda: daemon.address)
        stop, asked = asyncio.Event(), 0
        connector = aiohttp.TCPConnector(limit=0)

        async def load(session: aiohttp.ClientSession, *, fresh: bool) -> None:
            nonlocal asked
            headers = {"Connection": "close"} if fresh else {}
            for address in cycle(["192.0.2.1", "2001:db8::1"]):
                if stop.is_set():
                    return
                async with session.get(f"http://{host}:{port}/v1/ip/{address}", headers=headers) as response:
                    assert response.status == 200
                    answer = await response.json()
                expected = expectations[answer["snapshot"]]
                left_out = "" if address == "192.0.2.1" else "alpha"
                assert answer["feeds"] == [feed for feed in expected if feed != left_out]
                asked += 1

        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(load(session, fresh=number % 2 == 0))
            for generation in (2, 3, 4):
                feeds = {**FEEDS, f"extra{generation}": ["192.0.2.1", "2001:db8::1"]}
                await asyncio.to_thread(expectations.publish, data, feeds)
                began = time.monotonic()
                seen: set[float] = set()
                while seen != {generation}:
                    assert time.monotonic() - began < 2, seen
                    seen = await asyncio.to_thread(generations, daemon)
            stop.set()
        assert asked > 100


def test_sigterm_lets_a_slow_bulk_request_finish(data: Path) -> None:
    """A streamed request under way is answered to its end, new connections are refused, and the status is 0."""
    make_snapshot(data, FEEDS)
    with Daemon(data, "--no-refresh") as daemon:
        address = daemon.address
        with socket.create_connection(address, timeout=PATIENCE) as slow:
            slow.sendall(
                b"POST /v1/ip HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"a\r\n192.0.2.1\n\r\n"
            )
            received = b""
            while b"}\n" not in received:
                received += slow.recv(65536)
            daemon.process.terminate()
            wait_for(lambda: refused(address), "a refused connection")
            slow.sendall(b"a\r\n192.0.2.7\n\r\n0\r\n\r\n")
            while chunk := slow.recv(65536):
                received += chunk
        assert received.endswith(b"0\r\n\r\n")
        assert received.count(b'"listed":true') == 2
        assert daemon.process.wait(PATIENCE) == 0
        daemon.wait_line("stopped")


def refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_request_that_never_ends_is_cut_after_the_drain_time(data: Path) -> None:
    """Draining has an end: a silent client delays the stop by no more than the setting, and idle ones not at all."""
    make_snapshot(data, FEEDS)
    with Daemon(data, "--no-refresh", "--drain", "1s") as daemon:
        address = daemon.address
        with (
            socket.create_connection(address, timeout=PATIENCE) as stuck,
            socket.create_connection(address, timeout=PATIENCE) as idle,
        ):
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle.recv(65536)
            stuck.sendall(
                b"POST /v1/ip HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n["
            )
            wait_for(lambda: daemon.ask("/healthz").status == 200, "an answer beside the stuck one")
            began = time.monotonic()
            assert daemon.stop() == 0
            assert 0.9 < time.monotonic() - began < 6
            assert idle.recv(65536) == b""


def test_sigint_stops_like_sigterm_and_a_second_one_at_once(data: Path) -> None:
    """Ctrl-C drains; whoever presses it again is not made to wait."""
    make_snapshot(data, FEEDS)
    with Daemon(data, "--no-refresh", "--drain", "5m") as daemon:
        address = daemon.address
        with socket.create_connection(address, timeout=PATIENCE) as stuck:
            stuck.sendall(b"POST /v1/ip HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n")
            assert stuck.recv(65536)
            daemon.process.send_signal(signal.SIGINT)
            daemon.wait_line("stopping")
            daemon.process.send_signal(signal.SIGINT)
            daemon.process.wait(PATIENCE)


def test_two_daemons_on_one_port(data: Path) -> None:
    """The second says that the address is in use and what to do, ends with 1, and the first goes on."""
    make_snapshot(data, FEEDS)
    with Daemon(data, "--no-refresh") as first:
        port = first.address[1]
        with Daemon(data, "--no-refresh", listen=[f"127.0.0.1:{port}"]) as second:
            assert second.process.wait(PATIENCE) == 1
            second.wait_line(rf"cannot listen on 127\.0\.0\.1:{port}: address already in use.*--listen")
        assert len(second.lines) == 1
        assert first.ask("/readyz").status == 200


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
def test_beyond_loopback_only_by_explicit_wish(data: Path, address: str) -> None:
    """Without keys an address that others can reach is refused with status 2 and a sentence that says what to do."""
    with Daemon(data, "--no-refresh", listen=[address]) as daemon:
        assert daemon.process.wait(PATIENCE) == 2
        daemon.wait_line("beyond this host.*--allow-anonymous")


def test_allow_anonymous_opens_every_interface(data: Path) -> None:
    """With the explicit wish the wildcard address is served, but refreshes stay with this host."""
    make_snapshot(data, FEEDS)
    with Daemon(data, "--no-refresh", "--allow-anonymous", listen=["0.0.0.0:0"]) as daemon:
        port = int(daemon.wait_line(r"answering on http://0\.0\.0\.0:(\d+)")[1])
        assert ask(("127.0.0.1", port), "/v1/ip/192.0.2.1").json["listed"]
        assert ask(("127.0.0.1", port), "/v1/refresh", method="POST").status == 409


def test_unix_sockets_are_served_replaced_and_removed(tmp_path: Path, data: Path) -> None:
    """A stale socket file is replaced, the new one belongs to owner and group, and none is left at the end."""
    make_snapshot(data, FEEDS)
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with Daemon(data, "--no-refresh", listen=[f"unix:{path}", "127.0.0.1:0"]) as daemon:
        assert daemon.ask("/readyz").status == 200
        assert ask(path, "/v1/ip/192.0.2.1").json["feeds"] == ["alpha", "beta"]
        assert ask(path, "/v1/refresh", method="POST").status == 409
        assert path.stat().st_mode & 0o777 == 0o660
        with Daemon(data, "--no-refresh", listen=[f"unix:{path}"]) as second:
            assert second.process.wait(PATIENCE) == 1
            second.wait_line("address already in use")
        assert ask(path, "/healthz").status == 200
        assert daemon.stop() == 0
    assert not path.exists()


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path, data: Path) -> None:
    """A slip in --listen costs nobody a file."""
    path = tmp_path / "precious.txt"
    path.write_text("kept")
    with Daemon(data, "--no-refresh", listen=[f"unix:{path}"]) as daemon:
        assert daemon.process.wait(PATIENCE) == 1
        daemon.wait_line("no socket lies there")
    assert path.read_text() == "kept"


def test_systemd_hands_over_its_socket(data: Path) -> None:
    """With LISTEN_FDS the given socket is served and --listen is not."""
    make_snapshot(data, FEEDS)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        handle = listener.fileno()
        script = (
            f"import os, sys; os.dup2({handle}, 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        wrapper = [sys.executable, "-c", script]
        with Daemon(data, "--no-refresh", listen=["127.0.0.1:1"], wrapper=wrapper, pass_fds=[handle]) as daemon:
            daemon.wait_line(rf"answering on http://127\.0\.0\.1:{address[1]}: ")
            assert ask(address, "/v1/ip/192.0.2.1").json["listed"]
            (worker,) = daemon.workers()
            environment = command_environment(worker)
            assert not {"LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET"} & set(environment)


def command_environment(pid: int) -> dict[str, str]:
    content = Path(f"/proc/{pid}/environ").read_bytes().decode()
    return dict(line.split("=", 1) for line in content.split("\0") if "=" in line)


def test_json_log_is_one_object_a_line(data: Path) -> None:
    """For collectors every line is one JSON object with time, level and message, and no client address is in any."""
    make_snapshot(data, FEEDS)
    with Daemon(data, "--no-refresh", "--log-format", "json") as daemon:
        wait_for(lambda: "answering on" in daemon.log, "the line")
        port = int(re.findall(r"127\.0\.0\.1:(\d+)", daemon.log)[0])
        ask(("127.0.0.1", port), "/v1/ip/nonsense")
        assert daemon.stop() == 0
    lines = [json.loads(line) for line in daemon.lines]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    assert not any("nonsense" in line["message"] for line in lines)


def test_a_feed_that_fails_is_in_the_log_whatever_its_level_and_format(tmp_path: Path, data: Path) -> None:
    """With --log-level warning the failure is there and nothing less; in JSON it has the shape of every other line."""
    good = tmp_path / "good.txt"
    good.write_text("192.0.2.1\n")
    catalogue = write_catalogue(tmp_path, alpha=(tmp_path / "none.txt").as_uri(), beta=good.as_uri())
    arguments = ("--config", str(catalogue), "--log-level", "warning", "--log-format")
    with Daemon(data, *arguments, "json", listen=[f"unix:{tmp_path}/a.sock"]) as daemon:
        daemon.wait_line("alpha: failed: ")
        wait_for(lambda: ask(tmp_path / "a.sock", "/readyz").status == 200, "the other feed")
        assert daemon.stop() == 0
    lines = [json.loads(line) for line in daemon.lines]
    assert all(set(line) == {"time", "level", "logger", "message"} for line in lines)
    assert [line["level"] for line in lines if line["message"].startswith("alpha: ")] == ["warning"]
    assert not [line for line in lines if line["level"] == "info"]
    with Daemon(data, *arguments, "text", listen=[f"unix:{tmp_path}/b.sock"]) as daemon:
        wait_for(lambda: ask(tmp_path / "b.sock", "/v1/refresh", method="POST").status == 202, "a daemon to ask")
        daemon.wait_line(r"^\S+ \S+ warning: alpha: failed: ")
        assert daemon.stop() == 0
    assert not [line for line in daemon.lines if "refreshing" in line]


def test_bytes_that_are_no_http_get_a_problem(data: Path) -> None:
    """Nonsense, unknown methods and overlong headers get 400, end their own connection, and are not logged."""
    make_snapshot(data, FEEDS)
    nonsense = [
        b"\x16\x03\x01nonsense\r\n\r\n",
        b"BREW /v1/feeds HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n",
    ]
    with Daemon(data, "--no-refresh") as daemon:
        for request in nonsense:
            with socket.create_connection(daemon.address, timeout=PATIENCE) as connection:
                connection.sendall(request)
                received = b""
                while chunk := connection.recv(65536):
                    received += chunk
            head, _, body = received.partition(b"\r\n\r\n")
            assert b" 400 " in head
            assert b"Server: blocklistd\r\n" in head + b"\r\n"
            assert json.loads(body)["status"] == 400
            assert ("longer than 8,190 bytes" in json.loads(body)["detail"]) == (len(request) > 8190)
        assert daemon.ask("/healthz").status == 200
        assert daemon.stop() == 0
    assert not [line for line in daemon.lines if "127.0.0.1" in line and "answering" not in line]


def test_two_hundred_thousand_lines_stream_through_bounded_memory(data: Path) -> None:
    """A long text body is answered line by line without the worker growing with it."""
    make_snapshot(data, FEEDS)
    count = 200_000
    body = b"".join(b"192.0.%d.%d\n" % (number >> 8 & 3, number & 255) for number in range(count))
    with Daemon(data, "--no-refresh") as daemon:
        (worker,) = wait_for(daemon.workers, "the worker")
        assert (
            daemon.ask("/v1/ip", method="POST", body=body[:5000], headers={"Content-Type": "text/plain"}).status == 200
        )
        before = peak_memory(worker)
        reply = daemon.ask("/v1/ip", method="POST", body=body, headers={"Content-Type": "text/plain"})
        answers = reply.body.splitlines()
        assert len(answers) == count
        assert json.loads(answers[1])["ip"] == "192.0.0.1"
        assert sum(b'"listed":true' in answer for answer in answers) == sum(
            (number >> 8 & 3) == 2 for number in range(count)
        )
        assert peak_memory(worker) - before < 48 * 2**20


def peak_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024


def test_a_wrong_catalogue_at_the_start_ends_with_every_mistake(tmp_path: Path, data: Path) -> None:
    """Status 2 and all mistakes at once; no worker stays behind."""
    catalogue = tmp_path / "feeds.yaml"
    catalogue.write_text("feeds:\n  - {id: alpha, urrl: x, every: soon}\n")
    with Daemon(data, "--config", str(catalogue)) as daemon:
        workers = daemon.workers()
        assert daemon.process.wait(PATIENCE) == 2
        daemon.wait_line("every")
        assert "urrl" in daemon.log
        assert not [pid for pid in workers if command_line(pid)]


def test_data_that_cannot_be_used_is_no_reason_to_end(tmp_path: Path) -> None:
    """A data folder that does not exist yet means no snapshot yet."""
    with Daemon(tmp_path / "not" / "there", "--no-refresh") as daemon:
        assert daemon.ask("/readyz").status == 503
        assert daemon.ask("/v1/feeds").json["feeds"] == []
        make_snapshot(tmp_path / "not" / "there", FEEDS)
        wait_for(lambda: daemon.ask("/readyz").status == 200, "the snapshot", 2.5)
        assert daemon.process.poll() is None
