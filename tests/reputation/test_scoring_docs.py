"""The figures in docs/scoring.md are those of the program and of the shipped catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blocklistd.catalogue import Catalogue, load_catalogue
from blocklistd.reputation.policy.load import load_policy
from blocklistd.reputation.score import Claim, Score, effective_weight, evidence_of, score
from blocklistd.settings import SHIPPED_CATALOGUE, SHIPPED_POLICY

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "scoring.md").read_text(encoding="utf-8")
DAY = 86400


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(SHIPPED_CATALOGUE)


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def table(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def total(catalogue: Catalogue, feeds: list[str], gone: dict[str, float] | None = None) -> Score:
    evidence = evidence_of(catalogue.feeds)
    claims = []
    for name in sorted(feeds, key=[feed.id for feed in catalogue.feeds].index):
        feed = catalogue.by_id[name]
        weight = effective_weight(feed.weight, gone=(gone or {}).get(name, 0), keep=feed.keep)
        claims.append(Claim(feed.category, weight, evidence[name]))
    return score(claims)


def test_the_worked_example_works(catalogue: Catalogue) -> None:
    """Weights and categories of its table are the shipped ones, contributions and total what the program gives."""
    text = section("A worked example")
    rows = [[cell.strip("`") for cell in row] for row in table(text)]
    for name, category, weight, *_ in rows:
        assert (catalogue.by_id[name].category, str(catalogue.by_id[name].weight)) == (category, weight), name
    names = [row[0] for row in rows]
    ordered = sorted(names, key=[feed.id for feed in catalogue.feeds].index)
    gone = {"botscout_last": 15.0 * DAY}
    found = total(catalogue, names, gone)
    assert dict(zip(ordered, found.contributions, strict=True)) == {row[0]: int(row[5]) for row in rows}
    assert f"The score is {found.total}:" in text
    for name, _, _, _, effective, _ in rows:
        feed = catalogue.by_id[name]
        assert effective_weight(feed.weight, gone=gone.get(name, 0), keep=feed.keep) == 100 * int(effective)


FINDINGS = {
    "a data centre list": ["aws"],
    "a data centre list and `x4b_vpn_v4`": ["x4b_datacenter_v4", "x4b_vpn_v4", "aws"],
    "`tor_bulk_exit`": ["tor_bulk_exit", "tor_exit_addresses"],
    "one list of single attackers, such as `blocklist_de_all`": ["blocklist_de_all", "blocklist_de_ssh"],
    "the same, in a data centre": ["blocklist_de_all", "x4b_datacenter_v4"],
    "`tor_bulk_exit` and `sfs_ip_30`": ["tor_bulk_exit", "sfs_ip_30"],
    "two independent lists of attackers or spammers": ["cins_army", "sfs_ip_1"],
    "three": ["cins_army", "sfs_ip_1", "blocklist_de_all"],
    "four": ["cins_army", "sfs_ip_1", "blocklist_de_all", "turris_greylist"],
    "`spamhaus_drop_v4`": ["spamhaus_drop_v4", "firehol_level1", "et_block"],
    "`icloud_private_relay`, `x4b_vpn_v4` and a data centre list": ["icloud_private_relay", "x4b_vpn_v4", "gcp"],
    "`googlebot` and a data centre list": ["googlebot", "x4b_datacenter_v4"],
}


def test_findings_come_to_what_the_page_says(catalogue: Catalogue) -> None:
    """Scores by the shipped weights, verdicts by the bands of the shipped default profile."""
    profile = load_policy(SHIPPED_POLICY).profiles["default"]
    rows = table(section("What findings come to"))
    assert [row[0] for row in rows] == list(FINDINGS)
    for finding, shown, verdict in rows:
        found = total(catalogue, FINDINGS[finding]).total
        assert (str(found), profile.band_of(found).verdict) == (shown, verdict), finding


def test_no_automatic_list_alone_challenges(catalogue: Catalogue) -> None:
    """By default only lists that people keep, or on which several must agree, challenge or block on their own."""
    strong = {feed.id for feed in catalogue.feeds if feed.weight >= 45 and feed.enabled and feed.kind in {"ip", "asn"}}
    assert strong == {
        *("firehol_level1", "ipsum_level5", "spamhaus_drop_v4", "spamhaus_drop_v6", "spamhaus_asndrop"),
        *("dshield_block", "et_block", "blocklist_de_strongips", "feodo"),
    }


def test_the_weights_of_the_measured_lists_are_the_shipped_ones(catalogue: Catalogue) -> None:
    """The table of confirmation names feeds of the catalogue with their weights."""
    text = section("Where the default weights come from").split("**Who copies whom.**")[0]
    rows = table(text)
    assert len(rows) > 15
    for names, *_, weight in rows:
        for name in names.split(", "):
            assert str(catalogue.by_id[name].weight) == weight, name


def test_who_copies_whom_shares_evidence(catalogue: Catalogue) -> None:
    """Every pair of the table that is in the catalogue rests on common evidence."""
    evidence = evidence_of(catalogue.feeds)
    text = (
        section("Where the default weights come from").split("**Who copies whom.**")[1].split("**Good inside bad.**")[0]
    )
    seen = 0
    for names, within, _ in table(text):
        holder = "ipsum" if "IPsum" in within or within == "the same" else within
        for name in re.findall(r"\b[a-z]+(?:_[a-z0-9]+)+\b|\bgreensnow\b|\bbinarydefense\b", names):
            assert evidence[name] & evidence[holder], (name, holder)
            seen += 1
    assert seen >= 14
