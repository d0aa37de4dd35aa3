"""From facts to a decision. Pure: a profile and facts in, a ``Decision`` out that says in words what decided.

The score lies in a band, whose verdict stands unless a rule holds. Rules are tried in order and the first that holds
decides: ``then`` replaces the band's verdict, ``at_least`` and ``at_most`` bound it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklistd.reputation.report import Decision

if TYPE_CHECKING:
    from blocklistd.reputation.policy.model import Facts, Profile
    from blocklistd.reputation.report import Verdict


def decide(profile: Profile, facts: Facts) -> Decision:
    """What this profile makes of these facts; ``decided_by`` is ``band 80-100`` or ``rule 2: Tor at login``."""
    band = profile.band_of(facts.score)
    for number, rule in enumerate(profile.rules, start=1):
        if rule.when.holds(facts):
            verdict = rule.bound(band.verdict)
            words = f"rule {number}: {rule.name}"
            if verdict == band.verdict and rule.mildest != rule.severest:
                words = f"{band}, within {words}"
            return settle(profile, verdict, words)
    return settle(profile, band.verdict, str(band))


def settle(profile: Profile, verdict: Verdict, decided_by: str) -> Decision:
    """The decision for a verdict found here or elsewhere (override, suppression): a shadow profile only allows."""
    if profile.shadow:
        return Decision("allow", profile.name, decided_by, profile.fail, would=verdict)
    return Decision(verdict, profile.name, decided_by, profile.fail)
