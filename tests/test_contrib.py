"""What contrib/ holds goes with the program: the alerting rules name metrics, labels and values that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from blocklistd.metrics import METRICS, RESULTS

RULES = Path(__file__).resolve().parents[1] / "contrib" / "prometheus" / "blocklistd.rules.yml"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = [rule for group in GROUPS for rule in group["rules"]]
LABELS = {metric.name: set(metric.labels) for metric in METRICS}
SCRAPED = {"instance", "job"}
"""Labels that Prometheus itself adds."""


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_rule_names_metrics_that_exist(rule: dict[str, Any]) -> None:
    """Each has a known metric with its labels, how long it must hold, how bad it is, and a sentence."""
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    names = set(re.findall(r"\b(?:blocklistd_\w+|up)\b(?!\")", rule["expr"])) - {"up"}
    assert names <= set(LABELS)
    assert names or rule["alert"] == "BlocklistdDown"
    known = set().union(SCRAPED, *(LABELS[name] for name in names))
    selected = re.findall(r"(\w+)\s*=~?\s*\"", rule["expr"])
    grouped = [label for by in re.findall(r"by \(([\w, ]+)\)", rule["expr"]) for label in re.split(r", *", by)]
    shown = re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values()))
    assert set(selected) | set(grouped) | set(shown) <= known
    if "by (" in rule["expr"]:
        assert set(shown) <= set(grouped)  # the others are gone
    assert re.fullmatch(r"\d+[mhd]", rule["for"])
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"]["summary"].endswith(".")


def test_rules_name_results_that_exist() -> None:
    """A value of a label that nothing ever has would never raise an alarm."""
    for rule in ALERTS:
        assert set(re.findall(r"result=\"(\w+)\"", rule["expr"])) <= set(RESULTS)


def test_what_an_operator_must_know_has_a_rule() -> None:
    """Quarantine, staleness, dropped feeds, failing refreshes and a missing snapshot each raise an alarm."""
    watched = " ".join(rule["expr"] for rule in ALERTS)
    for name in (
        *("snapshot_ready", "snapshot_intact", "refreshes_total", "refresh_finished_timestamp_seconds"),
        *("feed_stale", "feed_dropped", "feed_quarantined", "feed_frozen", "feed_failures", "catalogue_reload_ok"),
        *("policy_reload_ok", "state_intact", "snapshot_pinned"),
    ):
        assert f"blocklistd_{name}" in watched
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
