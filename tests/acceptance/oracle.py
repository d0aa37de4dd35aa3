"""A slow, plainly right answer to "which list names this address?", for the real lists of the corpus.

Standard library only, nothing of the program: every list is read by its own short rule, written from the
description of the list, into inclusive integer ranges; nothing is flattened, merged or indexed. Only what the
documentation promises is applied: a token that is no address is no entry, an entry wider than an IPv4 /8 or IPv6
/16 is refused unless the feed allows it, a listed ASN stands for its rows in the ASN tables.
"""

from __future__ import annotations

import csv
import gzip
import ipaddress
import json
import re
import sqlite3
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

Range = tuple[int, int, int]
"""Family, first and last address."""
Address = tuple[int, int]
"""Family and value."""

WIDEST = {4: 2**24, 6: 2**112}
MAY_BE_WIDE = ("country/ipv4-us.cidr", "*bogons*", "firehol-2021-12-22/firehol_level1.netset")
"""Lists whose entries may be wider than WIDEST."""

TABLES = ("asn/asn-ipv?.csv.gz", "country/asn-country-ipv?.csv.gz")
"""They say something about every address and list none."""

OF_DOMAINS = (
    "domains/*",
    "*/disposable*",
    "cps/AtomSpam.txt",
    "cps/cps_cobaltstrike_domain.txt",
    "attack/blackbook.csv",
    "vpn/az0-*",
    "samples/intelmq-openphish-*",
)
"""Lists of host names; an address among them is no entry."""

SPECIAL_SPACE = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
    192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    ::/127 64:ff9b:1::/48 100::/64 2001:2::/48 2001:db8::/32 3fff::/20 5f00::/16 fc00::/7 fe80::/10 ff00::/8
"""
"""What ``exclude: [bogons]`` takes out of a feed."""

_QUAD = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:/(\d{1,2}))?")


def entry(token: str) -> Range | None:
    """One address or network, with set host bits cleared and zero-padded octets read as decimal; None if it is none."""
    match = _QUAD.fullmatch(token)
    if match is None:
        try:
            network = ipaddress.ip_network(token, strict=False)
        except ValueError:
            return None
        return network.version, int(network[0]), int(network[-1])
    octets = [int(octet) for octet in match.groups()[:4]]
    length = 32 if match[5] is None else int(match[5])
    if max(octets) > 255 or length > 32:
        return None
    size = 2 ** (32 - length)
    value = octets[0] * 2**24 + octets[1] * 2**16 + octets[2] * 2**8 + octets[3]
    first = value - value % size
    return 4, first, first + size - 1


def between(start: str, end: str) -> Range | None:
    """An inclusive range of two addresses."""
    first, last = entry(start), entry(end)
    return None if first is None or last is None or last < first else (first[0], first[1], last[2])


def entries(tokens: Iterable[str]) -> Iterator[Range]:
    """All tokens that are an entry."""
    return (found for token in tokens if (found := entry(token)) is not None)


def plain(text: str) -> Iterator[Range]:
    """A token a line, whatever follows it; a port, or a URL around it, is taken off."""
    for line in text.split("\n"):
        token = re.split(r"[\s,;#]", line.strip(), maxsplit=1)[0]
        if "://" in token:
            token = urlsplit(token).hostname or ""
        elif token.count(":") == 1:
            token = token.partition(":")[0]
        yield from entries([token])


def found(pattern: str) -> Callable[[str], Iterator[Range]]:
    """Whatever the first group of a pattern finds."""
    return lambda text: entries(re.findall(pattern, text, re.MULTILINE))


def cells(column: int, delimiter: str = ",") -> Callable[[str], Iterator[Range]]:
    """The addresses in one column (0-based, negative from the right) of a table without quotes."""

    def read(text: str) -> Iterator[Range]:
        for line in text.split("\n"):
            row = line.split(delimiter)
            if not line.startswith("#") and -len(row) <= column < len(row):
                yield from entries([row[column].strip()])

    return read


def quoted(column: int) -> Callable[[str], Iterator[Range]]:
    """The addresses in one column of a CSV file."""
    return lambda text: entries(row[column] for row in csv.reader(text.splitlines()) if len(row) > column)


def start_and_end(text: str) -> Iterator[Range]:
    """The first two columns are the ends of a range."""
    for row in csv.reader(text.splitlines()):
        if len(row) > 1 and (whole := between(row[0], row[1])) is not None:
            yield whole


def picked(pick: Callable[[Any], Iterable[str]]) -> Callable[[str], Iterator[Range]]:
    """What a function picks out of a JSON document."""
    return lambda text: entries(pick(json.loads(text)))


def prefixes(document: Any) -> Iterator[str]:
    """The prefixes of Google, of both families."""
    for row in document["prefixes"]:
        yield from (row[key] for key in ("ipv4Prefix", "ipv6Prefix") if key in row)


def amazon(document: Any) -> Iterator[str]:
    """The prefixes of AWS, of both families."""
    yield from (row["ip_prefix"] for row in document["prefixes"])
    yield from (row["ipv6_prefix"] for row in document["ipv6_prefixes"])


def azure(document: Any) -> Iterator[str]:
    """The prefixes of every service tag."""
    for tag in document["values"]:
        yield from tag["properties"]["addressPrefixes"]


def oracle_cloud(document: Any) -> Iterator[str]:
    """The networks of every region."""
    for region in document["regions"]:
        yield from (row["cidr"] for row in region["cidrs"])


def github(document: Any) -> Iterator[str]:
    """Every list of strings at the top; keys and domains in them are no addresses."""
    for value in document.values():
        if isinstance(value, list):
            yield from value


def proton(document: Any) -> Iterator[str]:
    """Where visitors come from: the exit of every server, not its entry."""
    for logical in document["LogicalServers"]:
        yield from (server["ExitIP"] for server in logical["Servers"])


def monosans(document: Any) -> Iterator[str]:
    """Both the address of a proxy and the one it shows to the world."""
    for row in document:
        yield from (row[key] for key in ("host", "exit_ip") if row.get(key))


def json_lines(text: str) -> Iterator[Range]:
    """One record a line; that of the metadata has no network."""
    records = [json.loads(line) for line in text.split("\n") if line.strip()]
    return entries(record["cidr"] for record in records if "cidr" in record)


ADDRESS = r"\d{1,3}(?:\.\d{1,3}){3}"
RULES: dict[str, Callable[[str], Iterator[Range]]] = {
    "tor/exit-addresses": found(rf"^ExitAddress ({ADDRESS}) "),
    "*/latest.exits.csv": cells(1),
    "attack/ip_blacklist.conf": found(r"^\s*deny from (\S+)"),
    "*/drop_v4.json": json_lines,
    "cloud/aws-ip-ranges.json.gz": picked(amazon),
    "cloud/azure-ServiceTags_Public.json.gz": picked(azure),
    "cloud/gcp-cloud.json": picked(prefixes),
    "cloud/oracle-public_ip_ranges.json": picked(oracle_cloud),
    "cloud/digitalocean.csv": cells(0),
    "cloud/linode-geofeed.txt": cells(0),
    "cloud/github-meta.json": picked(github),
    "cloud/fastly.json": picked(lambda document: document["addresses"] + document["ipv6_addresses"]),
    "cloud/ipcat-datacenters.csv": start_and_end,
    "cloud/hexydec-datacentres.csv.gz": quoted(1),
    "crawler/hexydec-crawlers.csv": quoted(1),
    "crawler/google*.json": picked(prefixes),
    "relay/icloud-ip-ranges.ipset": found(r"^add \S+ (\S+)"),
    "relay/icloud-ip-ranges.json": picked(lambda document: document),
    "vpn/protonvpn_logicals.json.gz": picked(proton),
    "misp/*.json": picked(lambda document: document["list"]),
    "proxy/monosans-proxies.json": picked(monosans),
    "samples/intelmq-dataplane-*": cells(-3, "|"),
    "samples/intelmq-dshield-block.txt": lambda text: (
        whole
        for line in text.split("\n")
        if not line.startswith("#") and len(row := line.split("\t")) > 2 and (whole := between(row[0], row[1]))
    ),
    "samples/intelmq-cymru-*": cells(1, "|"),
    "samples/intelmq-generic-*": cells(6, "\t"),
    "samples/threatinator-botscout-*": found(rf"/ipcheck\.htm\?ip=({ADDRESS})"),
    "samples/threatinator-packetmail_*": cells(1, "\t"),
    "samples/threatinator-dshield_topattackers.xml": found(rf"<ip>({ADDRESS})</ip>"),
    "samples/threatinator-berkeley.txt": found(rf"^HOSTILE_IP: ({ADDRESS})"),
}
"""Lists that are not one entry a line; the first pattern that matches counts."""

ASN_RULES: dict[str, str] = {
    "vpn/x4b-ASN.txt": r"^AS(\d+)",
    "asn/bad-asn-list.csv": r'^"?(\d+)"?,',
    "spamhaus/asn_drop.json": r'^\{"asn":(\d+),',
}
"""Lists of ASNs: the pattern of the number."""


@dataclass
class ListedFeed:
    """Everything one list says: IPv4 bounds as arrays, because there are millions; IPv6 as pairs."""

    first4: array[int] = field(default_factory=lambda: array("Q"))
    last4: array[int] = field(default_factory=lambda: array("Q"))
    ranges6: list[tuple[int, int]] = field(default_factory=list)

    def add(self, family: int, first: int, last: int) -> None:
        """Take one more range."""
        if family == 4:
            self.first4.append(first)
            self.last4.append(last)
        else:
            self.ranges6.append((first, last))

    def ranges(self) -> Iterator[Range]:
        """All ranges, as often as the list says them."""
        yield from ((4, first, last) for first, last in zip(self.first4, self.last4, strict=True))
        yield from ((6, first, last) for first, last in self.ranges6)

    def __len__(self) -> int:
        return len(self.first4) + len(self.ranges6)


def read_list(folder: Path, name: str) -> ListedFeed:
    """Read one file of the corpus. Lists of domains and ASNs and the tables give no ranges here."""
    listed = ListedFeed()
    if matches(name, (*TABLES, *OF_DOMAINS, *ASN_RULES, "failures/*")):
        return listed
    if name.startswith("fail2ban/"):
        with sqlite3.connect(f"file:{folder / name}?mode=ro&immutable=1", uri=True) as database:
            tokens = [str(row[0]) for row in database.execute("SELECT ip FROM bans")]
        database.close()
        ranges = entries(tokens)
    else:
        rule = next((rule for pattern, rule in RULES.items() if fnmatchcase(name, pattern)), plain)
        ranges = rule(text_of(folder / name))
    wide = matches(name, MAY_BE_WIDE)
    for family, first, last in ranges:
        if wide or last - first < WIDEST[family]:
            listed.add(family, first, last)
    return listed


def text_of(path: Path) -> str:
    """The text of a file, unpacked."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    return content.decode("utf-8", "replace").replace("\r\n", "\n")


def expand_asns(folder: Path, names: Sequence[str]) -> dict[str, ListedFeed]:
    """For each list of ASNs, the ranges of its ASNs in the two ASN tables."""
    numbers = {name: set(re.findall(ASN_RULES[name], text_of(folder / name), re.MULTILINE)) for name in names}
    wanted = set().union(*numbers.values())
    expanded = {name: ListedFeed() for name in names}
    for table in ("asn/asn-ipv4.csv.gz", "asn/asn-ipv6.csv.gz"):
        for line in text_of(folder / table).split("\n"):
            row = line.split(",", 3)
            if len(row) < 3 or row[2] not in wanted or (whole := between(row[0], row[1])) is None:
                continue
            for name in names:
                if row[2] in numbers[name]:
                    expanded[name].add(*whole)
    return expanded


_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]*[a-z0-9])?")


def names_of(folder: Path, name: str) -> set[str]:
    """The plain ASCII host names of a list of domains; names in other scripts are left out."""
    text = text_of(folder / name)
    if ".json" in name:
        document = json.loads(text)
        words = document["list"] if isinstance(document, dict) else document
    else:
        rows = [re.split(r"[,;#]", line, maxsplit=1)[0].split() for line in text.split("\n")]
        words = [row[1] if len(row) > 1 and row[0] == "127.0.0.1" else row[0] for row in rows if row]
    cleaned = (word.lower().removeprefix("||").removesuffix("^").removesuffix("/").removesuffix(".") for word in words)
    hosts = {re.sub(r"^[a-z]+://([^/:?#]*).*", r"\1", word) for word in cleaned}
    return {host for host in hosts if _HOST.fullmatch(host) and len(host) <= 253}


def special_space() -> ListedFeed:
    """What ``exclude: [bogons]`` takes out."""
    listed = ListedFeed()
    for family, first, last in entries(SPECIAL_SPACE.split()):
        listed.add(family, first, last)
    return listed


def without(listed: ListedFeed, excluded: ListedFeed) -> ListedFeed:
    """The same list with the ranges of another taken out."""
    holes = sorted(excluded.ranges())
    rest = ListedFeed()
    for family, start, last in listed.ranges():
        first = start
        for hole_family, hole_first, hole_last in holes:
            if hole_family == family and hole_first <= last and first <= hole_last:
                if first < hole_first:
                    rest.add(family, first, hole_first - 1)
                first = hole_last + 1
        if first <= last:
            rest.add(family, first, last)
    return rest


def widened(listed: ListedFeed, length: int) -> ListedFeed:
    """The same list, every single IPv6 address standing for the network of that prefix length around it."""
    wide = ListedFeed()
    for family, first, last in listed.ranges():
        size = 2 ** (128 - length) if family == 6 and first == last else 1
        wide.add(family, first - first % size, last - last % size + size - 1)
    return wide


def answer(feeds: Sequence[ListedFeed], questions: Iterable[Address]) -> dict[Address, tuple[int, ...]]:
    """For each address the positions of the feeds that name it, ascending.

    Turned around for speed: for every range of every feed, the questions inside it are found by bisection.
    """
    asked = set(questions)
    hits: dict[Address, list[int]] = {question: [] for question in asked}
    values = {family: sorted(value for kind, value in asked if kind == family) for family in (4, 6)}
    for position, feed in enumerate(feeds):
        for family, first, last in feed.ranges():
            of_family = values[family]
            for value in of_family[bisect_left(of_family, first) : bisect_right(of_family, last)]:
                named = hits[family, value]
                if not named or named[-1] != position:
                    named.append(position)
    return {question: tuple(named) for question, named in hits.items()}


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name matches any of some patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
