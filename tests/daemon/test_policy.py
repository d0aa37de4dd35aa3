"""A real daemon follows its policy file: at the start, on SIGHUP, in workers that are started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from blocklistd.daemon.policy import RunningPolicy, places
from blocklistd.metrics import MOST_PROFILES, OTHER_PROFILE
from tests.daemon.running import PATIENCE, Daemon, wait_for
from tests.support import make_snapshot

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "profiles:\n  default: {}\n  shop: {fail: closed}\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_snapshot(tmp_path / "data", {"alpha": ["192.0.2.0/24"]})
    return tmp_path / "data"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(GOOD)
    return path


class Told:
    """Stands where the workers are told things; nobody is there."""

    def tell(self, **message: object) -> None:
        self.message = message


def profiles_of(daemon: Daemon) -> set[str]:
    """The profiles whose verdicts are counted."""
    return {key[1] for key in daemon.metrics() if key[0] == "blocklistd_verdicts_total"}


def test_a_wrong_policy_at_the_start_ends_with_every_mistake(data: Path, policy: Path) -> None:
    """Status 2 and all mistakes at once, also where nothing is refreshed."""
    policy.write_text("profiles:\n  default: {fail: opn}\n  shop: {shaddow: true}\n")
    with Daemon(data, "--no-refresh", "--policy", str(policy)) as daemon:
        assert daemon.process.wait(PATIENCE) == 2
        daemon.wait_line("'opn' is no fail mode: did you mean open")
        daemon.wait_line("line 3: profiles.shop.shaddow: unknown key: did you mean shadow")


def test_sighup_takes_a_good_policy_and_keeps_the_running_one_before_a_bad(data: Path, policy: Path) -> None:
    """The mistake is in the log, the feeds and the metrics; a new profile is counted under its own name.

    A worker that is started again is told what the one before it was told last, whatever the file says now.
    """
    with Daemon(data, "--no-refresh", "--policy", str(policy)) as daemon:
        assert daemon.ask("/v1/feeds").json["policy"]["error"] is None
        assert profiles_of(daemon) == {OTHER_PROFILE, "default", "shop"}
        policy.write_text("profiles:\n  default: {fail: opn}\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_line("the policy was refused, the running one stays")
        wait_for(lambda: daemon.metrics()["blocklistd_policy_reload_ok",] == 0, "the metric")
        assert daemon.ask("/v1/feeds").json["policy"]["error"] == "1 mistake, see the log"
        assert profiles_of(daemon) == {OTHER_PROFILE, "default", "shop"}
        policy.write_text(GOOD + "  desk: {shadow: true}\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_line("policy read again: 3 profiles")
        wait_for(lambda: "desk" in profiles_of(daemon), "the new profile")
        assert daemon.metrics()["blocklistd_policy_reload_ok",] == 1
        policy.write_text("nonsense")
        (first,) = daemon.workers()
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: first not in daemon.workers() and "desk" in profiles_of(daemon), "another worker")
        assert daemon.stop() == 0


def test_a_rule_for_a_feed_that_is_not_on_is_warned_of(policy: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Such a rule never holds; the daemon runs all the same, because feeds come and go."""
    rule = "{name: x, when: {feeds: [alpha, gone], not: {feeds: lost}}, then: block}"
    policy.write_text(f"profiles:\n  default:\n    rules:\n      - {rule}\n")
    running = RunningPolicy(policy, Told())
    asyncio.run(running.start())
    running.warn_of({"alpha", "beta"})
    assert [record.getMessage() for record in caplog.records] == [
        "policy: profile default, rule 1 names the feed gone, which is not on",
        "policy: profile default, rule 1 names the feed lost, which is not on",
    ]


def test_shadow_mode_answers_allow_counts_and_logs_what_it_would_have_said(data: Path, policy: Path) -> None:
    """The same question to a profile in force and to one in shadow mode; the decision log holds both, truncated."""
    rules = "rules: [{name: listed, when: {feeds: alpha}, then: block}]"
    policy.write_text(
        f"profiles:\n  default: {{{rules}}}\n  shop: {{shadow: true, fail: closed, {rules}}}\n"
        "suppress: []\ndecision_log: {enabled: true}\n"
    )
    with Daemon(data, "--no-refresh", "--policy", str(policy), "--workers", "2") as daemon:
        for _ in range(5):
            report = daemon.ask("/v1/report/192.0.2.7").json
            assert (report["verdict"], report["would"], report["fail"]) == ("block", None, "open")
            report = daemon.ask("/v1/report/192.0.2.7?profile=shop").json
            assert (report["verdict"], report["would"], report["fail"]) == ("allow", "block", "closed")
            assert report["decided_by"] == "rule 1: listed"
        metrics = daemon.metrics()
        assert metrics["blocklistd_verdicts_total", "default", "block"] == 5
        assert metrics["blocklistd_verdicts_total", "shop", "allow"] == 5
        assert metrics["blocklistd_shadow_verdicts_total", "shop", "block"] == 5
        assert daemon.stop() == 0
    lines = [json.loads(line) for path in (data / "decisions").iterdir() for line in path.read_text().splitlines()]
    assert len(lines) == 10
    assert {(line["profile"], line["verdict"], line["would"]) for line in lines} == {
        ("default", "block", None),
        ("shop", "allow", "block"),
    }
    assert {line["address"] for line in lines} == {"192.0.2.0/24"}
    assert "192.0.2.7" not in daemon.log


def test_places_of_counters_stay_with_their_profiles() -> None:
    """What was counted under one name is never shown under another; without room new names are counted as other."""
    first = places((OTHER_PROFILE,), ["default", "shop"])
    assert first == ("other", "default", "shop")
    assert places(first, ["desk", "default"]) == ("other", "default", "shop", "desk")
    full = places(first, [f"p{number}" for number in range(100)])
    assert len(full) == MOST_PROFILES + 1
    assert full[:3] == first
    assert places(full, ["late"]) == full
