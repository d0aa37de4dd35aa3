"""Every shipped feed of which a real file is at hand reads that file to the number of entries it holds."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import pytest

from blocklistd.addresses import format_address
from blocklistd.catalogue import Catalogue, load_catalogue
from blocklistd.collect.model import Accepted
from blocklistd.collect.parse import parse_feed
from blocklistd.collect.vet import vet

REPOSITORY = Path(__file__).resolve().parents[2]
CORPUS = REPOSITORY.parent / "shared" / "corpus"
FIREHOL = "firehol-2021-12-22"


class Case(NamedTuple):
    """A feed, a real file of its list, and by how many entries it differs from the manifest, with the reason."""

    feed: str
    file: str
    difference: int = 0
    why: str = ""


CASES = [
    Case("tor_bulk_exit", "tor/torbulkexitlist"),
    Case("tor_exit_addresses", "tor/exit-addresses", 2378 - 9494, "the manifest counts every line of a block"),
    Case("tor_dan_exit", "tor/tor-exit-nodes.lst"),
    Case("tor_nodes_csv", "tor/latest.exits.csv", -1, "the header row"),
    Case("firehol_level1", f"{FIREHOL}/firehol_level1.netset", -1, "224.0.0.0/3 is too wide, and a bogon"),
    Case("firehol_level2", f"{FIREHOL}/firehol_level2.netset"),
    Case("firehol_level3", f"{FIREHOL}/firehol_level3.netset"),
    Case("firehol_level4", f"{FIREHOL}/firehol_level4.netset.gz"),
    Case("ipsum", "attack/ipsum.txt", 14217 - 120430, "those on fewer than three lists"),
    Case("ipsum_level3", "attack/ipsum-level3.txt"),
    Case("spamhaus_drop_v4", "spamhaus/drop_v4.json", -1, "the metadata record"),
    Case("spamhaus_asndrop", "spamhaus/asn_drop.json", -1, "the metadata record"),
    Case("spamhaus_edrop", "spamhaus/edrop.txt"),
    Case("dshield_block", "samples/intelmq-dshield-block.txt", -1, "the header row"),
    Case("dshield_sources", "samples/threatinator-dshield_topattackers.xml", 6, "several entries a line of XML"),
    Case("et_block", "samples/threatinator-ET_block-ip_reputation.txt"),
    Case("et_compromised", "cps/compromised-ips.txt"),
    Case("bruteforceblocker", "samples/threatinator-danger_bruteforce-ip_reputation.txt"),
    Case("binarydefense", "cps/binarydefense.txt"),
    Case("blocklist_de_bruteforcelogin", "attack/blocklistde-bruteforcelogin.txt"),
    Case("dataplane_sshpwauth", "samples/intelmq-dataplane-sshpwauth.txt"),
    Case("dataplane_vncrfb", "samples/intelmq-dataplane-vncrfb.txt"),
    Case("sfs_ip_30", f"{FIREHOL}/stopforumspam_30d.ipset.gz"),
    Case("sfs_toxic_domains", "domains/sfs-toxic_domains_whole.txt", -1, "a word without a dot"),
    Case("botscout_last", "samples/threatinator-botscout-ip-reputation.txt", 100 - 712, "lines of a web page"),
    Case("monosans_proxies", "proxy/monosans-proxies.json", -5, "exit addresses that are null"),
    Case("x4b_vpn_v4", "vpn/x4b-vpn-ipv4.txt"),
    Case("x4b_vpn_v6", "vpn/x4b-vpn-ipv6.txt"),
    Case("protonvpn_exits", "vpn/protonvpn_ips.txt"),
    Case("x4b_datacenter_v4", "cloud/x4b-datacenter-ipv4.txt"),
    Case("x4b_datacenter_v6", "cloud/x4b-datacenter-ipv6.txt"),
    Case("aws", "cloud/aws-ip-ranges.json.gz"),
    Case("azure", "misp/microsoft-azure.json"),
    Case("azure", "cloud/azure-ServiceTags_Public.json.gz", 12209 - 90336, "the tag AzureCloud alone"),
    Case("gcp", "cloud/gcp-cloud.json"),
    Case("oracle", "cloud/oracle-public_ip_ranges.json"),
    Case("digitalocean", "cloud/digitalocean.csv"),
    Case("linode", "cloud/linode-geofeed.txt"),
    Case("github", "cloud/github-meta.json", -150, "keys and domains"),
    Case("fastly", "cloud/fastly.json"),
    Case("cloudflare_v4", "cloud/cloudflare-v4.txt"),
    Case("cloudflare_v6", "cloud/cloudflare-v6.txt"),
    Case("ipcat_datacenters", "cloud/ipcat-datacenters.csv"),
    Case("hexydec_datacentres", "cloud/hexydec-datacentres.csv.gz"),
    Case("hexydec_crawlers", "crawler/hexydec-crawlers.csv"),
    Case("bad_asn", "asn/bad-asn-list.csv", -1, "the header row"),
    Case("googlebot", "crawler/googlebot.json"),
    Case("google_special", "crawler/google-special-crawlers.json"),
    Case("cymru_fullbogons_v4", "crawler/bogons-bogons.txt"),
    Case("iplocdb_asn_v4", "asn/asn-ipv4.csv.gz"),
    Case("iplocdb_asn_v6", "asn/asn-ipv6.csv.gz"),
    Case("iplocdb_country_v4", "country/asn-country-ipv4.csv.gz"),
    Case("iplocdb_country_v6", "country/asn-country-ipv6.csv.gz"),
    Case("disposable_email_domains", "domains/disposable_email_blocklist.conf"),
    Case("disposable_ivolo", "domains/npm-disposable-index.json.gz", 1, "the array has 121,570 strings"),
    Case("disposable_ivolo_wildcard", "domains/npm-disposable-wildcard.json"),
    Case("free_email", "domains/freemail-free.txt", -4, "a swallowed 404 and three words without a dot"),
    Case("fail2ban_local", "fail2ban/database_v2.db", 3, "two bans; the manifest does not count databases (-1)"),
]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(REPOSITORY / "feeds.yaml")


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real lists is not here")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.feed}-{Path(case.file).name}")
def test_shipped_feed_reads_its_list(case: Case, catalogue: Catalogue) -> None:
    """The format, columns, paths and patterns of the catalogue fit the real bytes, and vetting lets them in."""
    with (CORPUS / "MANIFEST.tsv").open(newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        entries = next(int(row["entries"]) for row in rows if row["file"] == case.file)
    feed = catalogue.by_id[case.feed]
    parsed = parse_feed(feed, [CORPUS / case.file])
    assert parsed.counts.entries == entries + case.difference, case.why or parsed.rejects
    assert isinstance(vet(feed, parsed, None), Accepted)


SYNTHETIC = {
    "dataplane_dnsrd": (
        (
            b"# ASN  |  AS name  |  ipaddr  |  lastseen  |  category\n"
            b"64500  |  A NAME | WITH | BARS  |  192.0.2.1  |  2026-01-31 12:00:00  |  dnsrd\n"
            b"NA     |  NA                    |  2001:db8::1  |  2026-01-31 12:00:00  |  dnsrd\n"
        ),
        ["192.0.2.1", "2001:db8::1"],
    ),
    "dshield_block": (
        (
            b"# updated\nStart\tEnd\tNetmask\tAttacks\tName\tCountry\temail\n"
            b"192.0.2.0\t192.0.2.255\t24\t788\tA Name\tJP\ta@example.net\n198.51.100.0\t198.51.100.255\t24\t5\t\t\t\n"
        ),
        ["192.0.2.0", "198.51.100.0"],
    ),
    "spamhaus_drop_v6": (
        b'{"cidr":"2001:db8::/32","sblid":"SBL1"}\n{"type":"metadata","timestamp":1787415242,"records":1}\n',
        ["2001:db8::"],
    ),
    "ipsum": (b"# Last update\n192.0.2.1\t3\n192.0.2.2\t2\n192.0.2.3\t10\n", ["192.0.2.1", "192.0.2.3"]),
    "tor_exit_addresses": (
        (
            b"ExitNode 00\nPublished 2026-01-31 12:00:00\nLastStatus 2026-01-31 13:00:00\n"
            b"ExitAddress 192.0.2.1 2026-01-31 12:08:10\nExitAddress 192.0.2.2 2026-01-31 12:08:10\n"
        ),
        ["192.0.2.1", "192.0.2.2"],
    ),
    "bruteforceblocker": (
        b"# IP\t# Last Reported\tCount\tID\n192.0.2.1\t\t# 2026-01-31 12:00:00\t\t148\t5329\n",
        ["192.0.2.1"],
    ),
    "dshield_sources": (
        (
            b"<sources><data><ip>192.000.002.010</ip><attacks>1</attacks><count>2</count>"
            b"<firstseen>2026-01-01</firstseen><lastseen>2026-01-31</lastseen></data></sources>"
        ),
        ["192.0.2.10"],
    ),
    "azure": (
        (
            b'{"values": [{"name": "Storage", "properties": {"addressPrefixes": ["192.0.2.0/25"]}},\r\n'
            b' {"name": "AzureCloud", "properties": {"addressPrefixes": ["198.51.100.0/24", "2001:db8::/32"]}}]}'
        ),
        ["198.51.100.0", "2001:db8::"],
    ),
    "github": (
        b'{"ssh_keys": ["192.0.2.9"], "domains": {"web": ["a"]}, "hooks": ["192.0.2.0/25"], "git": ["2001:db8::/48"]}',
        ["192.0.2.0", "2001:db8::"],
    ),
    "aws": (
        b'{"prefixes": [{"ip_prefix": "192.0.2.0/24"}], "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32"}]}',
        ["192.0.2.0", "2001:db8::"],
    ),
    "googlebot": (
        b'{"prefixes": [{"ipv4Prefix": "192.0.2.0/27"}, {"ipv6Prefix": "2001:db8::/64"}]}',
        ["192.0.2.0", "2001:db8::"],
    ),
    "monosans_proxies": (
        b'[{"host": "192.0.2.1", "exit_ip": "192.0.2.2"}, {"host": "192.0.2.3", "exit_ip": null}]',
        ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
    ),
    "botscout_last": (
        b'al,a@example.org,192.0.2.1\r\n"b, c",<a href="/m">b@example.org</a>,2001:db8::1\r\nname 1.2,x@example.org\n',
        ["192.0.2.1", "2001:db8::1"],
    ),
    "tor_onionoo_exits": (
        (
            b'{"relays": [{"flags": ["Exit"], "or_addresses": ["192.0.2.1:9001", "[2001:db8::1]:443"]},'
            b' {"flags": ["Exit"], "exit_addresses": ["192.0.2.2"], "or_addresses": ["192.0.2.3:1"]},'
            b' {"flags": ["Guard"], "or_addresses": ["192.0.2.4:9001"]}, {"or_addresses": ["192.0.2.5:9001"]}]}'
        ),
        ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"],
    ),
    "tor_onionoo_relays": (
        (
            b'{"relays": [{"flags": ["Exit"], "or_addresses": ["192.0.2.1:9001"]},'
            b' {"flags": ["Guard"], "or_addresses": ["192.0.2.4:9001"]}, {"or_addresses": ["192.0.2.5:9001"]}]}'
        ),
        ["192.0.2.4", "192.0.2.5"],
    ),
    "et_tor": (
        b"# rules\nalert tcp [192.0.2.1,192.0.2.2] any -> $HOME_NET any (msg:x; reference:url,192.0.2.9; sid:1;)\n",
        ["192.0.2.1", "192.0.2.2"],
    ),
    "threatfox_ip": (
        (
            b'# "first_seen_utc","ioc_id","ioc_value","ioc_type"\n'
            b'"2026-08-22 01:02:03", "1", "192.0.2.1:443", "ip:port", "botnet_cc"\r\n'
            b'"2026-08-22 01:02:03", "2", "192.0.2.2.example", "domain", "botnet_cc"\r\n'
        ),
        ["192.0.2.1"],
    ),
    "turris_greylist": (
        b'# Licence: CC BY-NC-SA 4.0\n# more\nAddress,Tags\n192.0.2.1,"smtp,telnet"\n2001:db8::1,http\n',
        ["192.0.2.1", "2001:db8::1"],
    ),
    "icloud_private_relay": (
        b"192.0.2.32/31,GB,GB-SC,Aberdeen,\n2001:db8:1::/64,DE,DE-BE,Berlin,\n",
        ["192.0.2.32", "2001:db8:1::"],
    ),
    "blocklist_net_ua": (b"ip;reason\n192.0.2.1;ssh; twice\n192.0.2.2;\n", ["192.0.2.1", "192.0.2.2"]),
    "mullvad_relays": (
        (
            b'{"locations": {"x": {"city": "y"}}, "wireguard": {"relays": [{"ipv4_addr_in": "192.0.2.1",'
            b' "ipv6_addr_in": "2001:db8::1"}]}, "openvpn": {"relays": [{"ipv4_addr_in": "192.0.2.2"}]}}'
        ),
        ["192.0.2.1", "192.0.2.2", "2001:db8::1"],
    ),
    "nordvpn": (
        b'[{"station": "192.0.2.1", "ips": [{"ip": {"ip": "192.0.2.1"}}, {"ip": {"ip": "2001:db8::1"}}]}]',
        ["192.0.2.1", "2001:db8::1"],
    ),
    "vultr": (b'{"subnets": [{"ip_prefix": "192.0.2.0/24", "alpha2code": "US"}]}', ["192.0.2.0"]),
    "php_bad": (b"<rss><item><title>192.0.2.1 | B</title></item></rss>", ["192.0.2.1"]),
    "socks_proxy": (b"<table><tr><td>192.0.2.1</td>\n<td>1080</td><td>1.2.3</td></tr></table>", ["192.0.2.1"]),
    "cleantalk_today": (b'<p><a href="/blacklists/192.0.2.1">192.0.2.1</a></p>', ["192.0.2.1"]),
    "sfs_bannedips": (b"192.0.2.1,192.0.2.2,192.0.2.3", ["192.0.2.1", "192.0.2.2", "192.0.2.3"]),
    "myip_ms": (b"# x\n192.0.2.1 # 2026-01-01, host.example, USA, 1\n2001:db8::1 # z\n", ["192.0.2.1", "2001:db8::1"]),
    "abuseipdb_s100": (b"192.0.2.1       # US AS64500 Example\n", ["192.0.2.1"]),
    "feodo": (b"# header\r\n192.0.2.1\r\n# END\r\n", ["192.0.2.1"]),
}


@pytest.mark.parametrize("feed_id", sorted(SYNTHETIC))
def test_shipped_feed_reads_its_form(feed_id: str, catalogue: Catalogue, tmp_path: Path) -> None:
    """Lists of which no real file is at hand are read in the form their makers describe."""
    body, expected = SYNTHETIC[feed_id]
    path = tmp_path / "body"
    path.write_bytes(body)
    feed = catalogue.by_id[feed_id]
    parsed = parse_feed(feed, [path])
    assert isinstance(vet(feed, parsed, None), Accepted)
    assert firsts(parsed.v4.first.tolist(), parsed.v6.first.tolist()) == expected


def firsts(four: list[int], six: list[list[int]]) -> list[str]:
    return [format_address(4, value) for value in four] + [format_address(6, hi << 64 | lo) for hi, lo in six]
