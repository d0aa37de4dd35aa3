"""Every real list of the corpus parses under the right format to the number of entries its manifest states.

How each file is read stands in ``tests/corpus.py``. The manifest counts data lines or strings; where a list holds
another number of entries, ``DIFFERENCES`` says how many of its lines are refused or are none, and why.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

import pytest

from blocklistd.catalogue.feed import Feed
from blocklistd.collect.model import Accepted, Refused
from blocklistd.collect.parse import parse_feed
from blocklistd.collect.vet import vet
from tests.corpus import CORPUS, entry_of, manifest

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real lists is not on this machine")


class Difference(NamedTuple):
    """entries: ours minus those of the manifest; rejected: lines that we count as refused."""

    pattern: str
    entries: int
    rejected: int
    why: str


DIFFERENCES = (
    Difference("history/2019-05-15/firehol_level1.netset", -1, 1, "224.0.0.0/3 is too wide without allow_wide"),
    Difference("tor/exit-addresses", 2378 - 9494, 0, "9,494 lines, of which 2,378 hold an exit address"),
    Difference("*latest.exits.csv", -1, 0, "the manifest counts the header"),
    Difference("cps/AtomSpam.txt", -160, 160, "URLs whose host is an address or is cut off with an ellipsis"),
    Difference("attack/fail2ban-ips.list", 0, 2, "two lines of NUL bytes"),
    Difference("attack/ip_blacklist.conf", 1451 - 1455, 0, "directives of Apache that are no deny"),
    Difference("attack/blackbook.csv", -1, 0, "the manifest counts the header"),
    Difference("spamhaus/asn_drop.json", -1, 0, "the metadata record"),
    Difference("*drop_v4.json", -1, 0, "the metadata record"),
    Difference("cloud/github-meta.json", 5115 - 5265, 0, "keys, fingerprints and host names lie under other paths"),
    Difference("relay/icloud-ip-ranges.ipset", -1, 0, "the create command"),
    Difference("vpn/protonvpn_logicals.json.gz", 3321 - 11828, 0, "entry addresses and names are not asked for"),
    Difference("proxy/monosans-proxies.json", 984 - 989, 0, "five proxies have no exit address"),
    Difference("proxy/clarketm-proxy-list.txt", 400 - 409, 9, "a prose header and footer"),
    Difference("proxy/clarketm-proxy-list-status.txt", 400 - 404, 4, "a prose footer"),
    Difference("domains/sfs-toxic_domains_whole.txt", -1, 1, "the word instances"),
    Difference("domains/hosts0.txt.gz", -1, 1, "localhost is never listed"),
    Difference("domains/freemail-free.txt", -4, 4, "404: not found, and three words without a dot"),
    Difference("domains/npm-disposable-index.json.gz", 1, 0, "the document holds 121,570 strings"),
    Difference("asn/bad-asn-list.csv", -1, 0, "the manifest counts the header"),
    Difference("fail2ban/database_v2.db", 2 + 1, 0, "two bans; the manifest says -1 for not counted"),
    Difference("samples/intelmq-dshield-block.txt", -1, 0, "the manifest counts the header"),
    Difference("samples/intelmq-openphish-feed.txt", -2, 2, "host names with two dots in a row"),
    Difference("samples/threatinator-botscout-*", 100 - 712, 0, "a page of 712 lines with 100 addresses"),
    Difference("samples/threatinator-autoshun_shunlist.csv", -1, 1, "a prose header"),
    Difference("samples/threatinator-dshield_topattackers.xml", 10 - 4, 0, "ten records on four lines"),
    Difference("samples/threatinator-berkeley.txt", 16 - 25, 0, "16 addresses between PGP armour and blank lines"),
    Difference("failures/tor-exit-nodes.RATELIMIT.lst", -3, 3, "prose"),
    Difference("*", 0, 0, ""),
)

MASKED = {"attack/ip_blacklist.conf": 6, "crawler/hexydec-crawlers.csv": 2}
SPECIAL = {
    "cloud/hexydec-datacentres.csv.gz": 556,
    "firehol-2021-12-22/stopforumspam_90d.ipset.gz": 50,
    "firehol-2021-12-22/stopforumspam_30d.ipset.gz": 20,
}
"""Host bits and special-use space as counted for section 5.4 of the feed survey."""

REFUSED = {
    "failures/tor-nodes.EMPTY.lst": "empty: no bytes at all",
    "failures/tor-exit-nodes.RATELIMIT.lst": "prose instead of a list",
    "samples/intelmq-openphish-feed.txt": "prose instead of a list",
}

ROWS = manifest() if CORPUS.is_dir() else []


def test_the_table_covers_the_corpus() -> None:
    """Every explained difference belongs to a file that is there."""
    names = [row["file"] for row in ROWS]
    assert len(names) == 270
    for difference in DIFFERENCES:
        assert any(fnmatchcase(name, difference.pattern) for name in names), difference.pattern


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["file"]))
def test_a_real_list_holds_what_its_manifest_says(row: dict[str, str]) -> None:
    """The entries are those of the manifest, or differ for the stated reason; real failures are refused by vetting."""
    name = row["file"]
    feed = Feed.model_validate(entry_of(row, "https://example.org/list"))
    parsed = parse_feed(feed, [CORPUS / name])
    expected = next(difference for difference in DIFFERENCES if fnmatchcase(name, difference.pattern))
    counts = parsed.counts
    assert (counts.entries - int(row["entries"]), counts.rejected) == (expected.entries, expected.rejected), (
        expected.why
    )
    assert counts.masked == MASKED.get(name, 0)
    assert name not in SPECIAL or counts.special == SPECIAL[name]
    assert counts.unique == len(parsed.v4) + len(parsed.v6) + len(parsed.asns) + len(parsed.domains)
    verdict = vet(feed, parsed)
    assert verdict == Accepted() or (isinstance(verdict, Refused) and verdict.reason == REFUSED[name])
    assert isinstance(verdict, Refused) == (name in REFUSED)


def test_the_parts_of_a_cut_list_are_one_list() -> None:
    """Romainmarcoux's five parts of at most 131,072 lines join to 552,293 entries, an empty sixth part included."""
    parts = [CORPUS / f"attack/romainmarcoux-full-a{letter}.txt.gz" for letter in "abcde"]
    feed = Feed.model_validate(
        {
            "id": "parts",
            "urls": [f"https://example.org/{n}" for n in range(6)],
            "format": "lines",
            "category": "attacker",
        }
    )
    parsed = parse_feed(feed, [*parts, CORPUS / "cps/illuminate.txt"])
    assert (parsed.counts.entries, parsed.counts.rejected, len(parsed.v4)) == (552_293, 0, parsed.counts.unique)


def test_dates_in_real_headers_are_found() -> None:
    """FireHOL, IPsum and Spamhaus say when their lists were made, in three different ways."""
    dates = {}
    for row in ROWS:
        if row["file"] in {"attack/ipsum.txt", "spamhaus/drop_v4.json", "firehol-2021-12-22/tor_exits.ipset"}:
            feed = Feed.model_validate(entry_of(row, "https://example.org/list"))
            dates[row["file"]] = parse_feed(feed, [CORPUS / row["file"]]).dated
    assert dates == {
        "attack/ipsum.txt": 1787360429.0,
        "spamhaus/drop_v4.json": 1787415242.0,
        "firehol-2021-12-22/tor_exits.ipset": 1633007461.0,
    }
