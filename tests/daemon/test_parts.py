"""The daemon's parts, each alone: timetable, sockets, channel, notifier, child, passes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.catalogue import read_catalogue
from blocklistd.collect.pace import started, succeeded
from blocklistd.collect.state import FeedState
from blocklistd.daemon.control import LONGEST_MESSAGE, Channel
from blocklistd.daemon.logs import JsonFormatter, PlainFormatter
from blocklistd.daemon.memory import anonymous_file, path_of
from blocklistd.daemon.notify import Notifier
from blocklistd.daemon.passes import read_line
from blocklistd.daemon.refresher import FIRST_RETRY, LONGEST_RETRY, pause_after
from blocklistd.daemon.schedule import JITTER_SECONDS, Timetable, first_moment, jitter
from blocklistd.daemon.sockets import close_sockets, describe, inherited_sockets, needs_key, open_sockets
from blocklistd.daemon.workers import describe_end
from blocklistd.errors import StartFailed, UsageError
from blocklistd.web.loopback import is_loopback

if TYPE_CHECKING:
    from pathlib import Path

    from blocklistd.catalogue import Feed


def feed(every: str = "1h") -> Feed:
    text = (
        f"feeds:\n  - {{id: alpha, url: 'https://lists.example/a', format: lines, category: tor, every: {every!r}}}\n"
    )
    return read_catalogue(text, "test").feeds[0]


def fetched(one: Feed, at: float) -> FeedState:
    return succeeded(started(one, FeedState(one.id), at), at, changed=True)


# when feeds are due


def test_a_feed_never_fetched_is_due_at_once() -> None:
    """The first run of a feed nobody has fetched is now."""
    assert first_moment(feed(), FeedState("alpha"), 1e9, retry=0, mirror="") == 1e9


def test_a_feed_is_due_when_its_interval_has_passed_even_if_the_daemon_was_off() -> None:
    """A restart neither forgets nor repeats: what is overdue is due now, the rest at its own time, never earlier."""
    one, now = feed("1h"), 1e9
    assert first_moment(one, fetched(one, now - 7200), now, retry=0, mirror="") == now
    moment = first_moment(one, fetched(one, now - 600), now, retry=0, mirror="")
    assert now + 0.9 * 3000 <= moment <= now + 3000 + JITTER_SECONDS


def test_a_cron_line_is_kept() -> None:
    """``17 */6 * * *`` is due at 17 minutes past, a little later at most."""
    one, now = feed("17 */6 * * *"), 1_000_000_000.0
    moment = first_moment(one, fetched(one, now - 60), now, retry=0, mirror="")
    due = one.every.next_after(now)
    assert due - 10 <= moment <= due + JITTER_SECONDS


@given(st.sampled_from(["1s", "5m", "1h", "1d", "0 0 * * *"]), st.floats(0, 1e6), st.floats(0, 1e6))
def test_nothing_is_due_before_the_pause_is_over(every: str, ago: float, pause: float) -> None:
    """After a refresh that failed as a whole no feed is marked before the pause ends; jitter never takes time away."""
    one, now = feed(every), 1e9
    assert first_moment(one, fetched(one, now - ago), now, retry=now + pause, mirror="") >= now + pause
    assert 0 <= jitter(one.every) <= JITTER_SECONDS


@given(st.integers(0, 1000))
def test_pauses_grow_and_end(failures: int) -> None:
    """The pause after failures never shrinks with their number and has an upper bound."""
    assert pause_after(failures) <= pause_after(failures + 1) <= LONGEST_RETRY
    assert failures == 0 or pause_after(failures) >= FIRST_RETRY


async def test_the_timetable_marks_overdue_feeds_at_once_and_others_later() -> None:
    """Jobs only mark: the overdue feed now, the fetched one in its turn, a feed no longer wanted never."""
    marked: asyncio.Queue[str] = asyncio.Queue()
    timetable = Timetable(marked.put_nowait)
    timetable.start()
    try:
        one, now = feed("1h"), time.time()
        other = one.model_copy(update={"id": "beta"})
        timetable.plan([one, other], {"beta": fetched(other, now)}, now)
        assert await asyncio.wait_for(marked.get(), 10) == "alpha"
        moments = timetable.moments()
        assert moments["beta"] > now + 3000
        timetable.plan([other], {"beta": fetched(other, now)}, now)
        assert set(timetable.moments()) == {"beta"}
        assert marked.empty()
    finally:
        timetable.stop()


async def test_a_job_that_comes_late_is_not_lost() -> None:
    """A loop that was busy past the moment still marks the feed: there is no misfire grace to miss."""
    marked: asyncio.Queue[str] = asyncio.Queue()
    timetable = Timetable(marked.put_nowait)
    timetable.start()
    try:
        timetable.plan([feed("1h")], {}, time.time() - 3600)  # its moment was an hour ago
        assert await asyncio.wait_for(marked.get(), 10) == "alpha"
    finally:
        timetable.stop()


# where to listen


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *(("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("::ffff:127.0.0.1", True)),
        *(("", False), ("localhost", False)),
        *(("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("2001:db8::1", False), ("fe80::1%lo", False)),
    ],
)
def test_loopback_is_this_host_alone(host: str, *, loopback: bool) -> None:
    """The wildcard addresses are not loopback."""
    assert is_loopback(host) is loopback


def test_every_address_is_opened_or_none() -> None:
    """IPv4, IPv6 and a name are opened; if one of several cannot be, the others are closed again."""
    sockets = open_sockets(["127.0.0.1:0", "localhost:0"], allow_anonymous=False, environment={})
    try:
        assert all(describe(listener).startswith(("http://127.0.0.1:", "http://[::1]:")) for listener in sockets)
        taken = sockets[0].getsockname()[1]
        with pytest.raises(StartFailed, match="address already in use"):
            open_sockets(["127.0.0.1:0", f"127.0.0.1:{taken}"], allow_anonymous=False, environment={})
    finally:
        close_sockets(sockets)


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("0.0.0.0:0", UsageError, "--allow-anonymous"),
        ("[::]:0", UsageError, "--allow-anonymous"),
        ("no-such-host.invalid:80", StartFailed, "no address of this host"),
        ("unix:/no/such/folder/http.sock", StartFailed, "no such file"),
        (f"unix:/tmp/{'x' * 200}", StartFailed, "too long"),
    ],
)
def test_what_cannot_be_listened_on_is_said_plainly(address: str, error: type[Exception], words: str) -> None:
    """Each failure is a sentence with the address in it."""
    with pytest.raises(error, match=words):
        open_sockets([address], allow_anonymous=False, environment={})


def test_beyond_this_host_a_key_or_the_operators_word_is_needed() -> None:
    """Loopback and unix sockets never ask; a wildcard asks unless that is switched off, and without keys is refused."""
    asked = []

    def has_keys() -> bool:
        asked.append(True)
        return True

    loopback = open_sockets(["127.0.0.1:0"], allow_anonymous=False, environment={}, has_keys=has_keys)
    assert not asked
    wildcard = open_sockets(["0.0.0.0:0"], allow_anonymous=False, environment={}, has_keys=has_keys)
    assert asked
    with loopback[0], wildcard[0], socket.socket(socket.AF_UNIX) as unix:
        needing = [needs_key(listener, allow_anonymous=False) for listener in (*loopback, *wildcard, unix)]
        assert needing == [False, True, False]
        assert not needs_key(wildcard[0], allow_anonymous=True)
    with pytest.raises(UsageError, match="blocklistd key add"):
        open_sockets(["0.0.0.0:0"], allow_anonymous=False, environment={})


def test_sockets_meant_for_another_process_are_not_taken() -> None:
    """LISTEN_PID of somebody else is ignored, and the variables are gone for our children either way."""
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "HOME": "/"}
    assert inherited_sockets(environment) == []
    assert environment == {"HOME": "/"}


# between processes


async def test_messages_arrive_in_order_and_the_end_is_none() -> None:
    """What is sent at one end comes out at the other, large ones too; then comes the end."""
    ours, theirs = socket.socketpair()
    first, second = await Channel.over(ours), await Channel.over(theirs)
    messages: list[dict[str, Any]] = [{"ping": 1}, {"report": {"feeds": ["ä" * 100_000]}}, {"stop": True}]
    for message in messages:
        first.send(**message)
    first.close()
    assert [await second.receive() for _ in messages] == messages
    assert await second.receive() is None
    second.send(pong=1)
    second.close()
    second.send(pong=2)


@pytest.mark.parametrize("nonsense", [b"nonsense\n", b"[1]\n", b'{"ping": 1}', b"\xff\n", b"{" * 100_000 + b"\n"])
async def test_nonsense_ends_the_channel(nonsense: bytes) -> None:
    """A process that talks anything but messages is treated as gone."""
    ours, theirs = socket.socketpair()
    channel = await Channel.over(ours)
    with theirs:
        theirs.sendall(nonsense)
        theirs.shutdown(socket.SHUT_WR)
        assert await channel.receive() is None
    channel.close()
    assert LONGEST_MESSAGE > 2**20


def test_an_anonymous_file_is_read_by_a_child() -> None:
    """A child that inherits the handle reads the content from its start, as often as it likes."""
    handle = anonymous_file("test", b"content", size=10)
    try:
        script = "import pathlib, sys; print(pathlib.Path(sys.argv[1]).read_bytes() * 2)"
        command = [sys.executable, "-c", script, str(path_of(handle))]
        done = subprocess.run(command, pass_fds=[handle], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == repr(b"content\0\0\0" * 2)
    finally:
        os.close(handle)


def test_a_child_of_a_dead_parent_ends_at_once() -> None:
    """Whose parent is not the one it was told is an orphan already."""
    command = [sys.executable, "-m", "blocklistd.daemon.child", str(os.getpid() + 1), "--version"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1
    command[3] = str(os.getpid())
    assert b"blocklistd" in subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.parametrize(
    ("status", "words"), [(0, "ended with status 0"), (3, "ended with status 3"), (-9, "was killed by SIGKILL")]
)
def test_an_end_is_told_in_words(status: int, words: str) -> None:
    """An exit status is read by a person."""
    assert describe_end(status) == words


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        ('{"level": "warning", "message": "alpha: failed", "feed": "alpha"}', logging.WARNING, "alpha: failed"),
        ('{"level": "info", "message": "refreshing"}', logging.INFO, "refreshing"),
        ('{"level": "loud", "message": "what?"}', logging.INFO, "what?"),
        ('{"message": 1}', logging.ERROR, '{"message": 1}'),
        ("{broken", logging.ERROR, "{broken"),
        ("[" * 100_000, logging.ERROR, "[" * 100_000),
        ("Traceback (most recent call last):", logging.ERROR, "Traceback (most recent call last):"),
    ],
)
def test_a_line_of_the_child_keeps_its_level(line: str, level: int, message: str) -> None:
    """What the refresh calls a warning is one in our log; what it did not mean to say is an error."""
    assert read_line(line) == (level, message)


# systemd and logs


def test_without_systemd_nothing_is_told() -> None:
    """No variables, no socket, no error."""
    notifier = Notifier({})
    notifier.ready("x")
    assert notifier.watchdog == 0


@pytest.mark.parametrize("abstract", [False, True])
def test_messages_for_systemd_are_lines(tmp_path: Path, *, abstract: bool) -> None:
    """READY and STATUS go as one datagram to a path or an abstract name; the variables are kept from our children."""
    name = f"@blocklistd-test-{random.getrandbits(64)}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{name[1:]}" if abstract else name)
        environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid()), "A": "b"}
        notifier = Notifier(environment)
        assert environment == {"A": "b"}
        assert notifier.watchdog == 2
        notifier.ready("answering\nwell")
        assert systemd.recv(4096) == b"READY=1\nSTATUS=answering well"
    notifier.alive()  # nobody listens any more: no matter


def test_a_log_line_is_plain_or_one_json_object() -> None:
    """People get the message, with the level when it matters; collectors get one object, tracebacks inside it."""
    record = logging.LogRecord("blocklistd.x", logging.WARNING, "", 0, "%d feeds\nfailed", (3,), None)
    assert PlainFormatter(timed=False).format(record) == "warning: 3 feeds\nfailed"
    assert PlainFormatter(timed=True).format(record)[:2] == "20"
    error = RuntimeError("x")
    record.exc_info = (RuntimeError, error, error.__traceback__)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    document = json.loads(line)
    assert (document["level"], document["message"]) == ("warning", "3 feeds\nfailed")
    assert "RuntimeError" in document["traceback"]
