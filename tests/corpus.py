"""The corpus of real lists beside the repository: how each of its files is read.

One table for all tests that use it. The corpus itself is never part of the repository; tests that need it are
skipped where ``CORPUS`` is absent. ``MANIFEST.tsv`` says what each file is, ``READINGS`` with which options a feed
reads it.
"""

from __future__ import annotations

import csv
import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

CORPUS = Path(__file__).resolve().parents[1] / "../shared/corpus"


class Reading(NamedTuple):
    """The options with which a feed reads the files that match ``pattern``."""

    pattern: str
    options: dict[str, Any]


LINES = {"format": "lines"}
WIDE = {"allow_wide": True}
DOMAINS = {"kind": "domain"}
GEOFEED = {"format": "csv", "columns": {"network": 1, "country": 2}}
PREFIXES = {"format": "json", "paths": ["prefixes[].ipv4Prefix", "prefixes[].ipv6Prefix"]}
LIST = {"format": "json", "paths": ["list"]}
DROP = {"format": "ndjson", "records": "@", "columns": {"network": "cidr"}}
TOR_CSV = {"format": "csv", "header": True, "columns": {"address": "ipaddr"}}
PIPES = {"format": "csv", "delimiter": "|"}
ASN_TABLE = {
    "format": "csv",
    "kind": "asn_table",
    "columns": {"first": 1, "last": 2, "asn": 3, "name": 4},
}
COUNTRY_TABLE = {"format": "csv", "kind": "country_table", "columns": {"first": 1, "last": 2, "country": 3}}
ADDRESS = r"\d{1,3}(?:\.\d{1,3}){3}"

# the first matching line counts
READINGS = (
    Reading("firehol-2021-12-22/firehol_level1.netset", WIDE),
    Reading("firehol-2021-12-22/cidr_report_bogons.netset", {"category": "bogon"}),
    Reading("firehol-2021-12-22/feodo.ipset", {"allow_empty": True}),
    Reading("firehol-2021-12-22/sslbl_aggressive.ipset", {"allow_empty": True}),
    Reading("history/2019-05-15/firehol_level1.netset", {}),  # its 224.0.0.0/3 is to be refused
    Reading(
        "tor/exit-addresses", {"format": "regex", "pattern": rf"^ExitAddress (?P<address>{ADDRESS}) (?P<last_seen>.+)$"}
    ),
    Reading("*/latest.exits.csv", TOR_CSV),
    Reading("cps/illuminate.txt", {"allow_empty": True}),
    Reading("cps/AtomSpam.txt", DOMAINS),
    Reading("cps/cps_cobaltstrike_domain.txt", DOMAINS),
    Reading("attack/ip_blacklist.conf", {"format": "regex", "pattern": r"^\s*deny from (?P<network>\S+)"}),
    Reading(
        "attack/blackbook.csv", {"format": "csv", "kind": "domain", "header": True, "columns": {"domain": "Domain"}}
    ),
    Reading("spamhaus/asn_drop.json", {"format": "ndjson", "kind": "asn", "records": "@", "columns": {"asn": "asn"}}),
    Reading("*/drop_v4.json", DROP),
    Reading(
        "cloud/aws-ip-ranges.json.gz",
        {"format": "json", "paths": ["prefixes[].ip_prefix", "ipv6_prefixes[].ipv6_prefix"]},
    ),
    Reading(
        "cloud/azure-ServiceTags_Public.json.gz", {"format": "json", "paths": ["values[].properties.addressPrefixes[]"]}
    ),
    Reading("cloud/gcp-cloud.json", PREFIXES),
    Reading("cloud/oracle-public_ip_ranges.json", {"format": "json", "paths": ["regions[].cidrs[].cidr"]}),
    Reading("cloud/digitalocean.csv", GEOFEED),
    Reading("cloud/linode-geofeed.txt", GEOFEED),
    Reading(
        "cloud/github-meta.json",
        {
            "format": "json",
            "paths": [
                "[hooks, web, api, git, github_enterprise_importer, packages, pages, importer][]",
                "[actions, actions_macos, codespaces, dependabot, copilot][]",
            ],
        },
    ),
    Reading("cloud/fastly.json", {"format": "json", "paths": ["addresses", "ipv6_addresses"]}),
    Reading("cloud/ipcat-datacenters.csv", {"format": "csv", "columns": {"first": 1, "last": 2, "provider": 3}}),
    Reading(
        "cloud/hexydec-datacentres.csv.gz", {"format": "csv", "columns": {"provider": 1, "network": 2, "country": 3}}
    ),
    Reading("crawler/hexydec-crawlers.csv", {"format": "csv", "columns": {"provider": 1, "network": 2}}),
    Reading("crawler/google*.json", PREFIXES),
    Reading("crawler/bogons-bogons.txt", {"category": "bogon"}),
    Reading("vpn/x4b-ASN.txt", {"kind": "asn"}),
    Reading("vpn/az0-*.txt", DOMAINS),
    Reading("vpn/protonvpn_logicals.json.gz", {"format": "json", "paths": ["LogicalServers[].Servers[].ExitIP"]}),
    Reading("relay/icloud-ip-ranges.json", {"format": "json", "paths": ["@"]}),
    Reading("relay/icloud-ip-ranges.ipset", {"format": "regex", "pattern": r"^add \S+ (?P<network>\S+)"}),
    Reading("misp/disposable-email.json", LIST | DOMAINS),
    Reading("misp/*.json", LIST),
    Reading("proxy/monosans-proxies.json", {"format": "json", "paths": ["[].host", "[].exit_ip"]}),
    Reading("domains/npm-disposable-index.json.gz", {"format": "json", "paths": ["@"]} | DOMAINS),
    Reading("domains/npm-disposable-wildcard.json", {"format": "json", "paths": ["@"], "subdomains": True} | DOMAINS),
    Reading("*/disposable_email_blocklist.conf", DOMAINS),
    Reading("domains/*", DOMAINS),
    Reading("asn/bad-asn-list.csv", {"format": "csv", "kind": "asn", "columns": {"asn": 1, "name": 2}}),
    Reading("asn/asn-ipv?.csv.gz", ASN_TABLE),
    Reading("country/asn-country-ipv?.csv.gz", COUNTRY_TABLE),
    Reading("country/ipv4-us.cidr", WIDE),
    Reading("fail2ban/database_v2.db", {"format": "fail2ban"}),
    Reading("samples/intelmq-dataplane-*", PIPES | {"columns": {"address": -3, "last_seen": -2}}),
    Reading(
        "samples/intelmq-dshield-block.txt",
        {"format": "csv", "delimiter": "\t", "header": True, "columns": {"first": "Start", "last": "End"}},
    ),
    Reading("samples/intelmq-cymru-*", PIPES | {"columns": {"address": 2}}),
    Reading("samples/intelmq-generic-*", {"format": "csv", "delimiter": "\t", "columns": {"address": 7}}),
    Reading("samples/intelmq-openphish-feed.txt", DOMAINS | {"allow_empty": True}),
    Reading(
        "samples/threatinator-botscout-*", {"format": "regex", "pattern": rf"/ipcheck\.htm\?ip=(?P<address>{ADDRESS})"}
    ),
    Reading("samples/threatinator-packetmail_*", {"format": "csv", "delimiter": "\t", "columns": {"address": 2}}),
    Reading(
        "samples/threatinator-dshield_topattackers.xml",
        {"format": "regex", "pattern": rf"<ip>(?P<address>{ADDRESS})</ip>"},
    ),
    Reading(
        "samples/threatinator-berkeley.txt", {"format": "regex", "pattern": rf"^HOSTILE_IP: (?P<address>{ADDRESS})"}
    ),
    Reading("*", {}),
)

CATEGORIES = {
    "tor": "tor", "proxy": "proxy", "vpn": "vpn", "relay": "relay", "hosting": "hosting", "crawler": "crawler",
    "bogon": "bogon", "spam": "spam", "bot": "bot", "malware": "malware", "abuse": "abuse", "attacker": "attacker",
}  # fmt: skip
"""Categories of the manifest that are also ours; the others become ``reputation`` or ``disposable``."""


def manifest() -> list[dict[str, str]]:
    """The rows of MANIFEST.tsv."""
    with (CORPUS / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def reading_of(name: str) -> Reading:
    """How a file of the corpus is read."""
    return next(reading for reading in READINGS if fnmatchcase(name, reading.pattern))


def feed_id(name: str) -> str:
    """The id under which a file of the corpus is a feed of its own."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def entry_of(row: dict[str, str], url: str) -> dict[str, Any]:
    """The entry of feeds.yaml that reads one file of the manifest from a URL."""
    options = LINES | reading_of(row["file"]).options
    kind = options.get("kind", "ip")
    entry = {"id": feed_id(row["file"]), "title": row["feed_id"], "url": url, "every": "1h", **options}
    entry["gate"] = "none"  # the corpus also holds lists that are no such lists: what is asked is what they say
    if kind in {"ip", "asn"}:
        entry.setdefault("category", CATEGORIES.get(row["category"], "reputation"))
    elif kind == "domain":
        entry.setdefault("category", "disposable")
    return entry


def write_catalogue(path: Path, server: str, extra: Iterable[dict[str, Any]] = ()) -> list[str]:
    """Write a feeds.yaml with every file of the corpus as a feed, fetched from ``server``; give the ids in order.

    extra: further entries, put at the end. JSON is YAML.
    """
    entries = [entry_of(row, f"{server}/{row['file']}") for row in manifest()] + list(extra)
    path.write_text(json.dumps({"feeds": entries}, indent=1), encoding="utf-8")
    return [entry["id"] for entry in entries]
