"""Reports on 100,000 addresses of the corpus of real lists."""

from __future__ import annotations

import ipaddress
import time
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from blocklistd import Snapshot
from blocklistd.reputation.assess import Assessor
from blocklistd.reputation.host import Host
from blocklistd.reputation.origin import Origins
from blocklistd.reputation.overrides import Overrides
from blocklistd.reputation.policy.load import load_policy
from blocklistd.reputation.suppression import Suppression
from blocklistd.settings import SHIPPED_POLICY
from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blocklistd.index.record import FeedRecord
    from tests.acceptance.conftest import Corpus

pytestmark = [
    pytest.mark.skipif(not corpus.CORPUS.is_dir(), reason="the corpus is not on this machine"),
    pytest.mark.timeout(240),
]

REPORTS = 100_000
EXPLAINED = 2_000
"""Of so many reports the networks are looked at too."""
HARMLESS = {"relay", "crawler", "cdn", "bogon", "free_mail", None}


def expected_score(records: Iterable[FeedRecord]) -> int:
    """The model of docs/scoring.md for lists that share nothing, in exact fractions."""
    named = list(records)
    soft = {record.category for record in named} & {"relay", "crawler"}
    doubt = Fraction(1)
    for record in named:
        if record.category not in HARMLESS and not (soft and record.category in {"vpn", "hosting"}):
            doubt *= 1 - Fraction(record.weight, 100)
    return int(100 * (1 - doubt) + Fraction(1, 2))


def test_contributions_add_up(real: Corpus) -> None:
    """Of every address each list that names it has one listing, and their integers add up to the score of the model.

    The effective score is that or, where suppressed, 0; every network holds its address.
    """
    sums: dict[tuple[str, ...], int] = {}
    with Snapshot.open_current(real.data) as snapshot:
        policy = load_policy(SHIPPED_POLICY)
        assessor = Assessor(
            snapshot,
            origins=Origins(snapshot),
            overrides=Overrides(),
            suppression=Suppression(policy.suppress, Host()),
            policy=policy,
        )
        assessor.confirm({record.id: time.time() for record in snapshot.feeds})
        records = {record.id: record for record in snapshot.feeds}
        inside = listed = 0
        for number, question in enumerate(real.questions[:REPORTS]):
            report = assessor.report(question)
            feeds = tuple([row.feed for row in report.listings])
            if report.embedded_ipv4 is None:
                assert feeds == real.expected[question]
            else:
                inside += 1
            shares = [row.contribution for row in report.listings]
            assert all(type(share) is int and share >= 0 for share in shares)
            assert sum(shares) == report.listed_score <= 100
            if feeds not in sums:
                sums[feeds] = expected_score(records[feed] for feed in feeds)
            assert report.listed_score == sums[feeds], (question, feeds)
            assert report.score == (0 if report.suppressed_by else report.listed_score)
            assert report.decision.verdict == "allow" or report.score >= 20
            listed += bool(feeds)
            if number % (REPORTS // EXPLAINED) == 0 and report.embedded_ipv4 is None:
                address = ipaddress.ip_address(report.ip)
                assert all(address in ipaddress.ip_network(row.network) for row in report.listings)
    assert listed > REPORTS // 3
    assert inside < REPORTS // 100
    assert len(sums) > 1_000
