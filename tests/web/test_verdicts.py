"""What a worker does with the policy it is told: judge by it, count verdicts by profile, log where that is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blocklistd.errors import NotReady
from blocklistd.metrics import DECISIONS_LOST, SHADOW_VERDICTS, VERDICTS
from blocklistd.reputation.policy import DecisionLogging, Policy, Profile
from blocklistd.reputation.report import Decision
from tests.policy.test_decisions import report_of

if TYPE_CHECKING:
    from blocklistd.web.service import Service

POLICY = Policy({"default": Profile("default"), "login": Profile("login", shadow=True)})
PLACES = ("other", "default", "login")


def counted(service: Service) -> dict[tuple[str, ...], float]:
    """Verdicts that were counted: given or would, profile, verdict."""
    kinds = {VERDICTS: "given", SHADOW_VERDICTS: "would"}
    return {
        (kinds[sample.metric], *sample.labels): sample.value
        for sample in service.counters.samples()
        if sample.metric in kinds and sample.value
    }


def test_without_a_policy_nobody_is_judged(service: Service) -> None:
    """A moment after its start a worker may not know the policy yet: it says so."""
    with pytest.raises(NotReady, match="ask again in a moment"):
        _ = service.policy
    service.use_policy(POLICY, PLACES)
    assert service.policy is POLICY


def test_verdicts_are_counted_by_profile(service: Service) -> None:
    """What was answered and, in shadow mode, what would have been; a profile without a place counts as other."""
    service.use_policy(POLICY, PLACES)
    service.count_verdict(Decision("block", "default", "band 80-100"))
    service.count_verdict(Decision("flag", "default", "band 20-44"))
    service.decided(report_of(decision=Decision("allow", "login", "band 80-100", would="block")))
    service.decided(report_of(decision=Decision("allow", "login", "band 0-19", would="allow")))
    service.count_verdict(Decision("challenge", "late", "band 45-79"))
    assert counted(service) == {
        ("given", "default", "block"): 1,
        ("given", "default", "flag"): 1,
        ("given", "login", "allow"): 2,
        ("would", "login", "block"): 1,
        ("would", "login", "allow"): 1,
        ("given", "other", "challenge"): 1,
    }


def test_counts_stay_with_their_profile_when_the_policy_changes(service: Service) -> None:
    """A profile that is gone keeps its name in the metrics, a new one starts at 0."""
    service.use_policy(POLICY, PLACES)
    service.count_verdict(Decision("block", "login", "band 80-100"))
    service.use_policy(Policy({"default": Profile("default"), "desk": Profile("desk")}), (*PLACES, "desk"))
    service.count_verdict(Decision("block", "desk", "band 80-100"))
    service.count_verdict(Decision("block", "desk", "band 80-100"))
    assert counted(service) == {("given", "login", "block"): 1, ("given", "desk", "block"): 2}


def test_decisions_are_logged_only_while_the_policy_says_so(service: Service) -> None:
    """Switched on and off without a restart; the same settings again change nothing."""
    folder = service.data / "decisions"
    service.use_policy(POLICY, PLACES)
    service.decided(report_of("192.0.2.1"))
    logging = Policy(POLICY.profiles, decision_log=DecisionLogging(enabled=True))
    service.use_policy(logging, PLACES)
    log = service.decisions
    assert log is not None
    service.use_policy(logging, PLACES)
    assert service.decisions is log
    service.decided(report_of("198.51.100.7"))
    service.use_policy(POLICY, PLACES)
    assert service.decisions is None
    service.decided(report_of("203.0.113.9"))
    log.close()
    text = "".join(path.read_text() for path in folder.iterdir())
    assert text.count("\n") == 1
    assert '"198.51.100.0/24"' in text


def test_lost_decisions_are_counted(service: Service) -> None:
    """Where the log cannot be written the metric says how many lines are missing."""
    (service.data / "decisions").write_text("in the way")
    service.use_policy(Policy(POLICY.profiles, decision_log=DecisionLogging(enabled=True)), PLACES)
    service.decided(report_of())
    assert service.decisions is not None
    service.decisions.close()
    lost = [sample.value for sample in service.counters.samples() if sample.metric is DECISIONS_LOST]
    assert lost == [1]
