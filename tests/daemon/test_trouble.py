"""What goes wrong around the daemon, and that it goes on answering."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blocklistd.refresh.lock import refresh_lock
from tests.daemon.running import PATIENCE, Daemon, alive, ask, wait_for, write_catalogue
from tests.support import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

FEEDS = {"alpha": ["192.0.2.0/24"], "beta": ["192.0.2.1", "2001:db8::1"]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    make_snapshot(folder, FEEDS)
    return folder


@contextmanager
def silent_server() -> Iterator[tuple[str, threading.Event]]:
    """A list server that accepts and never answers: its URL, and an event once somebody asked."""
    asked, over = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as connections:
        listener.settimeout(0.1)

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                connections.enter_context(connection)
                asked.set()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/list", asked
        finally:
            over.set()
            thread.join()


def test_a_killed_worker_is_healed(data: Path) -> None:
    """After kill -9 another takes its place, the counters go on, and the daemon never stops answering."""
    with Daemon(data, "--no-refresh", "--workers", "2") as daemon:
        for _ in range(5):
            assert daemon.ask("/v1/ip/192.0.2.1").status == 200
        before = daemon.workers()
        os.kill(before[0], signal.SIGKILL)
        daemon.wait_line("worker 1 was killed by SIGKILL and is started again")
        wait_for(lambda: len(set(daemon.workers()) - set(before)) == 1, "a new worker")
        metrics = daemon.metrics()
        assert metrics["blocklistd_lookups_total", "ip"] == 5
        assert metrics["blocklistd_worker_starts_total",] == 3
        assert daemon.ask("/v1/ip/192.0.2.1").json["listed"]
        assert daemon.stop() == 0


def test_a_worker_that_hangs_does_not_hold_up_the_end(data: Path) -> None:
    """Stopping waits for a stuck worker no longer than for a slow one: it is killed soon after the drain time."""
    with Daemon(data, "--no-refresh", "--drain", "1s") as daemon:
        assert daemon.ask("/healthz").status == 200
        (worker,) = daemon.workers()
        os.kill(worker, signal.SIGSTOP)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 10
        assert not alive(worker)
        daemon.wait_line("worker 1 did not end when told to and is killed")


def test_mistakes_of_a_catalogue_are_counted_over_http_and_named_in_the_log(tmp_path: Path, data: Path) -> None:
    """What a refused feeds.yaml says may hold secrets: callers learn that and how much is wrong, the operator what."""
    listed = tmp_path / "list.txt"
    listed.write_text("203.0.113.0/24\n")
    catalogue = write_catalogue(tmp_path, alpha=listed.as_uri())
    with Daemon(data, "--config", str(catalogue)) as daemon:
        daemon.wait_line("refreshed in .* 1 updated")
        url = "gopher://operator:wordpass@lists.example/a?token=wordpass"
        catalogue.write_text(f"feeds:\n  - {{id: alpha, every: soon, url: '{url}', format: lines, category: tor}}\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_line("catalogue was refused")
        reply = wait_for(lambda: (r := daemon.ask("/v1/feeds")).json["catalogue"]["error"] and r, "the error")
        assert reply.json["catalogue"]["error"] == "2 mistakes, see the log"
        assert b"wordpass" not in reply.body
        assert "every" in daemon.log
        catalogue.unlink()
        daemon.process.send_signal(signal.SIGHUP)
        error = "it could not be read, see the log"
        wait_for(lambda: daemon.ask("/v1/feeds").json["catalogue"]["error"] == error, "the other error")


def test_feeds_that_fail_do_not_hold_up_the_next_refresh(tmp_path: Path) -> None:
    """A refresh in which every feed failed is followed by the feeds' own backoff, not by that of a full disk."""
    listed = tmp_path / "list.txt"
    catalogue = write_catalogue(tmp_path, alpha=listed.as_uri())
    catalogue.write_text(catalogue.read_text().replace("every: 1h", "every: 1s"))
    with Daemon(tmp_path / "data", "--config", str(catalogue)) as daemon:
        daemon.wait_line("refresh failed")
        listed.write_text("192.0.2.1\n")
        daemon.wait_line("refreshed in .* 1 updated")


def test_workers_that_cannot_start_end_the_daemon(tmp_path: Path, data: Path) -> None:
    """When no worker ever comes to answer the daemon gives up with status 1 instead of trying for ever."""
    (tmp_path / "uvloop.py").write_text("raise ImportError('broken installation')\n")
    with Daemon(data, "--no-refresh", environment={"PYTHONPATH": str(tmp_path)}) as daemon:
        assert daemon.process.wait(PATIENCE) == 1
        daemon.wait_line("ImportError: broken installation")
        daemon.wait_line("no worker could be brought to answer")


def test_no_process_outlives_a_killed_supervisor(tmp_path: Path, data: Path) -> None:
    """After kill -9 of the supervisor its workers and a refresh under way end by themselves, and the port is free."""
    with silent_server() as (url, asked):
        catalogue = write_catalogue(tmp_path, alpha=url)
        with Daemon(data, "--config", str(catalogue), "--workers", "2") as daemon:
            address = daemon.address
            assert asked.wait(PATIENCE)
            family = [*daemon.workers(), *daemon.children("blocklistd refresh")]
            assert len(family) == 3
            daemon.process.kill()
            daemon.process.wait()
            wait_for(lambda: not [pid for pid in family if alive(pid)], "the end of all children")
            socket.create_server(address).close()


def test_a_refresh_is_nice(tmp_path: Path, data: Path) -> None:
    """The child that compiles leaves the processor to those who answer."""
    with (
        silent_server() as (url, asked),
        Daemon(data, "--config", str(write_catalogue(tmp_path, alpha=url))) as daemon,
    ):
        assert asked.wait(PATIENCE)
        (child,) = daemon.children("blocklistd refresh")
        assert os.getpriority(os.PRIO_PROCESS, child) == 10
        assert daemon.stop() == 0  # and does not hold up the end
        assert not alive(child)


def test_a_bad_catalogue_on_sighup_is_reported_and_the_running_one_kept(tmp_path: Path, data: Path) -> None:
    """The mistake is in the log and the metrics, refreshes go on with the old catalogue, and a good one is taken."""
    listed = tmp_path / "list.txt"
    listed.write_text("203.0.113.0/24\n")
    catalogue = write_catalogue(tmp_path, alpha=listed.as_uri())
    with Daemon(data, "--config", str(catalogue)) as daemon:
        daemon.wait_line("refreshed in .* 1 updated")
        catalogue.write_text("feeds:\n  - {id: alpha, every: soon}\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_line("catalogue was refused, the running one stays")
        assert daemon.metrics()["blocklistd_catalogue_reload_ok",] == 0
        listed.write_text("203.0.113.0/24\n198.51.100.1\n")
        assert daemon.ask("/v1/refresh", method="POST").status == 202
        wait_for(lambda: daemon.ask("/v1/ip/198.51.100.1").json["listed"], "a refresh with the running catalogue")
        write_catalogue(tmp_path, alpha=listed.as_uri(), gamma=listed.as_uri())
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "gamma" in daemon.ask("/v1/ip/198.51.100.1").json["feeds"], "the new feed")
        assert daemon.metrics()["blocklistd_catalogue_reload_ok",] == 1
        assert daemon.stop() == 0


def test_sighup_is_harmless_where_nothing_is_refreshed(data: Path) -> None:
    """A server that only answers reads its policy again, and needs no catalogue."""
    with Daemon(data, "--no-refresh") as daemon:
        assert daemon.ask("/readyz").status == 200
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_line("policy read again: 5 profiles")
        assert daemon.ask("/readyz").status == 200


def test_a_full_disk_leaves_the_old_snapshot_serving_and_is_seen_everywhere(tmp_path: Path, data: Path) -> None:
    """When nothing can be written the answers stay, and log, metrics and feeds say what is wrong."""
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"203.0.113.{number & 255} # {number}\n" for number in range(20_000)))
    catalogue = write_catalogue(tmp_path, alpha=listed.as_uri())
    script = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    limited = [sys.executable, "-c", script]
    with Daemon(data, "--config", str(catalogue), wrapper=limited) as daemon:
        daemon.wait_line("refresh failed, what is in use stays in use: ")
        assert daemon.ask("/v1/ip/192.0.2.1").json["feeds"] == ["alpha", "beta"]
        metrics = wait_for(lambda: (m := daemon.metrics()).get(("blocklistd_refresh_ok",)) == 0 and m, "the metric")
        assert metrics["blocklistd_refreshes_total", "failed"] == 1
        feeds = daemon.ask("/v1/feeds").json
        assert feeds["refresh"]["error"]
        assert daemon.stop() == 0


def test_a_refresh_over_its_deadline_is_stopped(tmp_path: Path, data: Path) -> None:
    """A child that hangs is ended, which is reported, and the daemon goes on."""
    with silent_server() as (url, _):
        catalogue = write_catalogue(tmp_path, alpha=url)
        with Daemon(data, "--config", str(catalogue), "--refresh-deadline", "1s") as daemon:
            daemon.wait_line("refresh failed, .*took longer than 1s and was stopped")
            assert not daemon.children("refresh")
            error = wait_for(lambda: (daemon.ask("/v1/feeds").json["refresh"] or {}).get("error"), "the error in feeds")
            assert "longer than 1s" in error
            assert daemon.ask("/v1/ip/192.0.2.1").json["listed"]


def test_a_lock_held_by_another_refresh_is_no_harm(tmp_path: Path, data: Path) -> None:
    """While another process refreshes the same data folder ours fails, says so, and is tried again later."""
    listed = tmp_path / "list.txt"
    listed.write_text("192.0.2.1\n")
    catalogue = write_catalogue(tmp_path, alpha=listed.as_uri())
    with refresh_lock(data), Daemon(data, "--config", str(catalogue)) as daemon:
        daemon.wait_line(r"refresh failed, what is in use stays in use: another refresh of .* is at work")
        assert "Traceback" not in daemon.log
        assert daemon.ask("/v1/ip/192.0.2.1").json["listed"]
        assert daemon.stop() == 0


def test_running_out_of_file_descriptors_passes(data: Path) -> None:
    """A worker that cannot accept for a while answers again when it can."""
    with Daemon(data, "--no-refresh") as daemon:
        address = daemon.address
        (worker,) = daemon.workers()
        used = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 8, hard))
        with ExitStack() as crowd:
            for _ in range(40):
                crowd.enter_context(socket.create_connection(address, timeout=PATIENCE))
            wait_for(lambda: len(list(Path(f"/proc/{worker}/fd").iterdir())) >= used + 7, "the limit")
        assert wait_for(lambda: ask(address, "/v1/ip/192.0.2.1").status == 200, "an answer after the crowd")
        assert daemon.workers() == [worker]


def test_systemd_is_told_about_life_and_death(tmp_path: Path, data: Path) -> None:
    """READY when it answers, the watchdog while the workers do, RELOADING and READY on SIGHUP, STOPPING at the end."""
    listed = tmp_path / "list.txt"
    listed.write_text("192.0.2.1\n")
    catalogue = write_catalogue(tmp_path, alpha=listed.as_uri())
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(PATIENCE)
        heard: list[str] = []

        def hear(word: str) -> None:
            while not heard or word not in heard[-1]:
                heard.append(systemd.recv(4096).decode())

        told = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "300000"}
        with Daemon(data, "--config", str(catalogue), environment=told) as daemon:
            hear("READY=1")
            assert len(heard) == 1
            assert "STATUS=Answering on http://127.0.0.1:" in heard[0]
            assert daemon.ask("/readyz").status == 200
            hear("WATCHDOG=1")
            (worker,) = daemon.workers()
            daemon.process.send_signal(signal.SIGHUP)
            hear("RELOADING=1")
            assert "MONOTONIC_USEC=" in heard[-1]
            hear("READY=1")
            assert not any("NOTIFY_SOCKET" in line for line in Path(f"/proc/{worker}/environ").read_text().split("\0"))
            assert daemon.stop() == 0
            hear("STOPPING=1")


def test_a_damaged_snapshot_is_never_answered_from(data: Path) -> None:
    """When the newest snapshot is damaged the older one serves, and log, feeds and metrics say so."""
    with Daemon(data, "--no-refresh") as daemon:
        good = daemon.ask("/readyz").json["snapshot"]
        staging = data.parent / "next"
        newer = make_snapshot(staging, {"gamma": ["203.0.113.9"]})
        document = bytearray((staging / "snapshots" / newer).read_bytes())
        document[len(document) // 2] ^= 1
        (data / "snapshots" / newer).write_bytes(document)
        (data / "current.next").write_text(f"{newer}\n")
        (data / "current.next").rename(data / "current")
        daemon.wait_line("newest snapshot cannot be used")
        answer = daemon.ask("/v1/ip/192.0.2.1").json
        assert (answer["snapshot"], answer["feeds"]) == (good, ["alpha", "beta"])
        assert daemon.metrics()["blocklistd_snapshot_intact",] == 0
        assert daemon.ask("/v1/feeds").json["snapshot_problem"]
