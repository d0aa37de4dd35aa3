"""What follows from what is known: profiles with bands and rules, pure and explained.

    policy.yaml ─ load ─ Policy ─ as_document ─ (to each worker) ─ from_document ─ decide(profile, facts) ─ Decision

``load`` is strict and heavy (pydantic, yaml) and is imported only where a file is read; the rest is light.
"""

from __future__ import annotations

from blocklistd.reputation.policy.decide import decide, settle
from blocklistd.reputation.policy.model import (
    DEFAULT,
    Band,
    Condition,
    DecisionLogging,
    Facts,
    Policy,
    Profile,
    Rule,
    Suppressed,
)

__all__ = [
    "DEFAULT",
    "Band",
    "Condition",
    "DecisionLogging",
    "Facts",
    "Policy",
    "Profile",
    "Rule",
    "Suppressed",
    "decide",
    "settle",
]
