"""The decision log: whole lines, private unless wanted otherwise, bounded in time and size, and never in the way."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.reputation.decisions import DecisionLog, line_of, truncated
from blocklistd.reputation.policy import DecisionLogging
from blocklistd.reputation.report import Decision, Evidence, IpReport, Origin
from tests.daemon.running import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = 1_795_348_800.0
"""2026-11-22T12:00:00Z."""
DAY = 86400
TRUNCATED = DecisionLogging(enabled=True)
WHOLE = DecisionLogging(enabled=True, whole_addresses=True)


def report_of(ip: str = "192.0.2.77", **changes: Any) -> IpReport:
    fields: dict[str, Any] = {
        "ip": ip,
        "listed": True,
        "score": 60,
        "listed_score": 60,
        "decision": Decision("allow", "login", "band 45-79", would="challenge"),
        "flags": {},
        "listings": (Evidence("alpha", "Alpha", "tor", None, f"{ip}/32", 0, 0, current=True, contribution=60),),
        "origin": Origin(),
        "suppressed_by": None,
        "override": None,
        "embedded_ipv4": None,
        "snapshot": {},
    }
    return IpReport(**fields | changes)


def lines_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Losses:
    """Counts what is lost."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, count: int) -> None:
        self.count += count

    def wait(self, count: int) -> None:
        wait_for(lambda: self.count == count, f"{count} lost")


def log_to(
    data: Path,
    settings: DecisionLogging = TRUNCATED,
    lose: Callable[[int], None] | None = None,
    at: float = NOON,
    **more: Any,
) -> DecisionLog:
    return DecisionLog(data, settings, lose or Losses(), clock=lambda: at, **more)


def test_a_line_says_what_was_decided_and_why(tmp_path: Path) -> None:
    """Everything that is needed to try another threshold; the address is that of its network."""
    log = log_to(tmp_path)
    log.add(report_of())
    log.close()
    assert lines_in(tmp_path / "decisions" / "2026-11-22.jsonl") == [
        {
            "at": "2026-11-22T12:00:00Z",
            "address": "192.0.2.0/24",
            "profile": "login",
            "verdict": "allow",
            "would": "challenge",
            "score": 60,
            "listed_score": 60,
            "decided_by": "band 45-79",
            "feeds": ["alpha"],
        }
    ]


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6), st.ip_addresses(network="2002::/16")))
def test_truncated_addresses_are_networks_of_24_or_48_bits(address: ipaddress.IPv4Address) -> None:
    """As the standard library cuts them; IPv6 addresses that are or hold IPv4 ones give away no more of these."""
    plain = getattr(address, "ipv4_mapped", None) or address
    inside = getattr(address, "sixtofour", None)
    network = ipaddress.ip_network((plain, 24 if plain.version == 4 else 40 if inside else 48), strict=False)
    assert truncated(str(address)) == str(network)


@pytest.mark.parametrize("ip", ["192.0.2.77", "2001:db8:1:2::77"])
@pytest.mark.parametrize(
    "changes",
    [
        {"override": {"key": "{ip}"}, "decision": Decision("block", "login", "override {ip}")},
        {"suppressed_by": "network {ip}/32", "decision": Decision("allow", "login", "suppressed: network {ip}/32")},
        {"embedded_ipv4": "198.51.100.9"},
        {},
    ],
)
def test_truncated_lines_hold_the_address_nowhere(ip: str, changes: dict[str, Any]) -> None:
    """Neither the key of an override nor the reason of a suppression gives away what was truncated."""
    decision = changes.get("decision", Decision("flag", "login", "band 20-44"))
    told = Decision(decision.verdict, "login", decision.decided_by.replace("{ip}", ip))
    report = report_of(ip, **changes | {"decision": told})
    line = line_of(report, NOON, whole_addresses=False).decode()
    assert ip not in line
    assert "198.51.100.9" not in line
    whole = json.loads(line_of(report, NOON, whole_addresses=True))
    assert (whole["address"], whole["decided_by"]) == (ip, told.decided_by)


def test_several_processes_and_threads_write_whole_lines(tmp_path: Path) -> None:
    """Two logs of other processes and one of ours append to one file, and no line is torn or missing."""
    script = (
        "import sys; from pathlib import Path; from tests.policy.test_decisions import log_to, report_of, WHOLE\n"
        "log = log_to(Path(sys.argv[1]), WHOLE, pause=0.001)\n"
        "for number in range(2000): log.add(report_of(f'{sys.argv[2]}.{number // 250}.{number % 250}'))\n"
        "log.close()\n"
    )
    root = Path(__file__).resolve().parents[2]
    others = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), prefix], cwd=root) for prefix in ("10.1", "10.2")
    ]
    log = log_to(tmp_path, WHOLE, pause=0.001)

    def decide_much() -> None:
        for number in range(250):
            log.add(report_of(f"10.3.0.{number}"))

    threads = [threading.Thread(target=decide_much) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert [process.wait(60) for process in others] == [0, 0]
    addresses = [line["address"] for line in lines_in(tmp_path / "decisions" / "2026-11-22.jsonl")]
    assert len(addresses) == 2 * 2000 + 2 * 250
    assert len(set(addresses)) == 2 * 2000 + 250


def test_old_days_are_removed(tmp_path: Path) -> None:
    """Days beyond the retention go, the others and whatever else lies there stay."""
    folder = tmp_path / "decisions"
    folder.mkdir()
    for name in ("2026-10-22.jsonl", "2026-10-23.jsonl", "2026-11-21.jsonl", "notes.txt"):
        (folder / name).write_text("{}\n")
    log = log_to(tmp_path, DecisionLogging(enabled=True, retention=30 * DAY))
    log.add(report_of())
    log.close()
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["2026-10-23.jsonl", "2026-11-21.jsonl", "2026-11-22.jsonl", "notes.txt"]


def test_old_days_are_removed_though_nothing_is_decided(tmp_path: Path) -> None:
    """An idle daemon keeps nothing longer than it may."""
    folder = tmp_path / "decisions"
    folder.mkdir()
    (folder / "2026-10-01.jsonl").write_text("{}\n")
    log_to(tmp_path).close()
    assert not list(folder.iterdir())


def test_size_is_bounded_the_oldest_days_go_first(tmp_path: Path) -> None:
    """All days together stay within max_bytes; of today nothing is ever removed."""
    folder = tmp_path / "decisions"
    folder.mkdir()
    for day in ("2026-11-19", "2026-11-20", "2026-11-21"):
        (folder / f"{day}.jsonl").write_bytes(b" " * 40_000)
    log = log_to(tmp_path, DecisionLogging(enabled=True, max_bytes=100_000))
    log.add(report_of())
    log.close()
    assert sorted(path.name for path in folder.iterdir()) == [
        "2026-11-20.jsonl",
        "2026-11-21.jsonl",
        "2026-11-22.jsonl",
    ]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 100_000


def test_a_full_day_loses_lines_counted_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When today alone is as large as it may be nothing more is written, and the log of the daemon says so."""
    folder = tmp_path / "decisions"
    folder.mkdir()
    (folder / "2026-11-22.jsonl").write_bytes(b"{}\n" * 30_000)
    losses = Losses()
    log = log_to(tmp_path, DecisionLogging(enabled=True, max_bytes=2**16), losses, pause=0.001)
    for number in range(1, 4):
        log.add(report_of())
        losses.wait(number)
    log.close()
    assert (folder / "2026-11-22.jsonl").stat().st_size == 90_000
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "max_bytes" in caplog.text


def test_logging_goes_on_when_it_can(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Trouble is said once, its end too, with the number of lines lost; ``add`` never raises."""
    folder = tmp_path / "decisions"
    folder.write_text("in the way")
    losses = Losses()
    log = log_to(tmp_path, TRUNCATED, losses, pause=0.001)
    for number in range(1, 3):
        log.add(report_of())
        losses.wait(number)
    folder.unlink()
    log.add(report_of("192.0.2.1"))
    log.close()
    assert len(lines_in(folder / "2026-11-22.jsonl")) == 1
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert messages[0].startswith("decisions are answered but not logged: ")
    assert messages[1] == "decisions are logged again; 2 lines lost"


def test_a_disk_that_fills_up_leaves_no_torn_line(tmp_path: Path) -> None:
    """A batch that fits only in part is taken back, so that what follows later stands on lines of its own."""
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from tests.policy.test_decisions import Losses, log_to, report_of, TRUNCATED\n"
        "from tests.daemon.running import wait_for\n"
        "losses, data = Losses(), Path(sys.argv[1])\n"
        "log = log_to(data, TRUNCATED, losses, pause=0.001)\n"
        "log.add(report_of())\n"
        "size = wait_for(lambda: next((p.stat().st_size for p in data.glob('decisions/*')), 0), 'the first line')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size + size // 2, resource.RLIM_INFINITY))\n"
        "log.add(report_of())\n"
        "losses.wait(1)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "log.add(report_of())\n"
        "log.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "not logged: File too large" in done.stderr
    assert len(lines_in(tmp_path / "decisions" / "2026-11-22.jsonl")) == 2


def test_too_many_waiting_lines_are_lost(tmp_path: Path) -> None:
    """A disk that does not keep up costs lines, not memory."""
    losses = Losses()
    log = log_to(tmp_path, TRUNCATED, losses, pause=30, most_waiting=3)
    for _ in range(5):
        log.add(report_of())
    log.close()
    assert losses.count == 2
    assert len(lines_in(tmp_path / "decisions" / "2026-11-22.jsonl")) == 3


def test_files_are_for_the_service_and_its_group_alone(tmp_path: Path) -> None:
    """Nobody else may read who asked to come in."""
    log = log_to(tmp_path)
    log.add(report_of())
    log.close()
    for path in (tmp_path / "decisions", tmp_path / "decisions" / "2026-11-22.jsonl"):
        assert path.stat().st_mode & 0o007 == 0
