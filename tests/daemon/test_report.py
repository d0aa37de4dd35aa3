"""Reports of a real daemon: each worker joins snapshot, policy and the operator's word, and follows all three."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tests.daemon.running import Daemon, wait_for
from tests.daemon.test_state import connected_to, run, talk
from tests.support import make_snapshot

if TYPE_CHECKING:
    from http.client import HTTPConnection
    from pathlib import Path

POLICY = "profiles:\n  default: {bands: {flag: BAND}}\nsuppress: []\n"
DESCRIBED: dict[str, dict[str, Any]] = {"alpha": {"category": "spam", "weight": 30}}


def report(connection: HTTPConnection) -> dict[str, Any]:
    status, body = talk(connection, "/v1/report/192.0.2.1")
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def test_workers_report_by_what_is_in_force(tmp_path: Path) -> None:
    """A new override, a new policy and a new snapshot change the next report of each of two workers."""
    data, policy = tmp_path / "data", tmp_path / "policy.yaml"
    make_snapshot(data, {"alpha": ["192.0.2.0/24"]}, described=DESCRIBED)
    policy.write_text(POLICY.replace("BAND", "20"))
    with Daemon(data, "--no-refresh", "--policy", str(policy), "--workers", "2") as daemon, ExitStack() as stack:
        port = int(daemon.wait_line(r"answering on http://127\.0\.0\.1:(\d+)")[1])
        both = [stack.enter_context(connected_to(daemon, worker, port)) for worker in daemon.workers()]
        assert [(found["score"], found["verdict"]) for found in map(report, both)] == [(30, "flag")] * 2

        def told(what: str, value: object) -> None:
            wait_for(lambda: [report(one)[what] for one in both] == [value] * 2, f"{what} {value} in both workers")

        policy.write_text(POLICY.replace("BAND", "40"))
        os.kill(daemon.process.pid, signal.SIGHUP)
        told("verdict", "allow")
        assert run("override", "deny", "192.0.2.0/24", "--reason", "ticket 7", data=data).returncode == 0
        told("decided_by", "override 192.0.2.0/24")
        assert run("override", "remove", "192.0.2.0/24", data=data).returncode == 0
        told("score", 30)
        make_snapshot(data, {"beta": ["198.51.100.0/24"]})
        told("listings", [])
        assert daemon.metrics()["blocklistd_lookups_total", "report"] > 8
