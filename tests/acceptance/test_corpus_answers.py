"""The whole corpus, fetched over HTTP, compiled, and asked 200,000 times: every way to ask agrees with the oracle.

Reports on 100,000 of the addresses too: they stand in this file because the tests of a file share one process.
"""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
import json
import random
import re
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from blocklistd import Snapshot
from blocklistd.collect.state import FeedState
from blocklistd.reputation.assess import Assessor
from blocklistd.reputation.host import Host
from blocklistd.reputation.origin import Origins
from blocklistd.reputation.overrides import Overrides
from blocklistd.reputation.policy.load import load_policy
from blocklistd.reputation.suppression import Suppression
from blocklistd.settings import SHIPPED_POLICY
from tests import corpus
from tests.acceptance import oracle, program
from tests.acceptance.conftest import QUESTIONS, as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from blocklistd.index.record import FeedRecord
    from tests.acceptance.conftest import Corpus

pytestmark = [
    pytest.mark.skipif(not corpus.CORPUS.is_dir(), reason="the corpus is not on this machine"),
    pytest.mark.timeout(240),
]

CONNECTIONS = 32
PIPELINE = 16
"""Requests that are on their way at once on one connection."""
BULK = 50_000
REPORTS = 100_000
EXPLAINED = 2_000
"""Of so many reports the networks are looked at too."""
HARMLESS = {"relay", "crawler", "cdn", "bogon", "free_mail", None}

WILDCARDS = "domains_npm_disposable_wildcard_json"
"""The list of domains each of which stands for all names below it."""


def canonical(text: str) -> str:
    """The notation of RFC 5952, mapped addresses as IPv4."""
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def assert_all_equal(real: Corpus, questions: Sequence[str], answers: Sequence[Any], way: str) -> None:
    """Every answer (feed ids in order) is that of the oracle; tells the first few that are not."""
    assert len(questions) == len(answers)
    wrong = [
        (question, set(answer) ^ set(real.expected[question]) or (answer, real.expected[question]))
        for question, answer in zip(questions, answers, strict=True)
        if tuple(answer) != real.expected[question]
    ]
    assert not wrong, f"{way}: {len(wrong)} of {len(questions)} answers are wrong, such as {wrong[:5]}"


def test_every_feed_came_in_but_the_broken_ones(real: Corpus) -> None:
    """Two failures of the real world are refused with a named reason; every other list is in the snapshot."""
    results = {row["feed"]: row for row in real.report["feeds"]}
    assert list(results) == real.ids
    refused = {feed: row["reason"] for feed, row in results.items() if row["state"] != "updated"}
    assert set(refused) == {
        "failures_tor_nodes_empty_lst",
        "failures_tor_exit_nodes_ratelimit_lst",
        "samples_intelmq_openphish_feed_txt",
    }
    assert refused["failures_tor_nodes_empty_lst"].startswith("empty")
    assert refused["failures_tor_exit_nodes_ratelimit_lst"].startswith("prose")
    assert "30 minutes" in refused["failures_tor_exit_nodes_ratelimit_lst"]
    with Snapshot.open_current(real.data) as snapshot:
        assert [record.id for record in snapshot.feeds] == [feed for feed in real.ids if feed not in refused]
        assert snapshot.id == real.report["snapshot"]


def test_half_of_the_questions_are_about_listed_space(real: Corpus) -> None:
    """The questions are worth asking: many are listed, many are not, on one list and on dozens."""
    sizes = [len(feeds) for feeds in real.expected.values()]
    assert sum(size > 0 for size in sizes) > QUESTIONS // 3
    assert sum(size == 0 for size in sizes) > QUESTIONS // 5
    assert max(sizes) > 20
    assert {"0.0.0.0", "255.255.255.255", "::"} <= {canonical(question) for question in real.questions}


def test_lookup_is_right(real: Corpus) -> None:
    """The library names the very feeds that the oracle names, one address at a time."""
    with Snapshot.open_current(real.data) as snapshot:
        answers = [snapshot.lookup(question) for question in real.questions]
    assert_all_equal(real, real.questions, [answer.feeds for answer in answers], "lookup")
    assert all(answer.listed == bool(answer.feeds) for answer in answers)


def test_lookup_many_is_right_in_every_type(real: Corpus) -> None:
    """So does asking for many at once, as text, as numbers and as address objects."""
    objects = [ipaddress.ip_address(canonical(question)) for question in real.questions]
    numbers = [int(address) if address.version == 4 else address for address in objects]
    with Snapshot.open_current(real.data) as snapshot:
        for questions in (real.questions, numbers, objects):
            answers = [listing.feeds for listing in snapshot.lookup_many(questions)]
            assert_all_equal(real, real.questions, answers, "lookup_many")


def test_domains_are_right(real: Corpus) -> None:
    """Names of all lists of domains are found on the lists that hold them, below a wildcard too; others are not."""
    listed = {
        corpus.feed_id(row["file"]): oracle.names_of(corpus.CORPUS, row["file"])
        for row in corpus.manifest()
        if oracle.matches(row["file"], oracle.OF_DOMAINS)
    }
    chance = random.Random(29)
    names = chance.sample(sorted(set().union(*listed.values())), 20_000)
    names += [f"below.{name}" for name in names[:5000]] + [f"beside{name}" for name in names[:5000]]
    wrong = []
    with Snapshot.open_current(real.data) as snapshot:
        for name in names:
            above = {name[at + 1 :] for at, letter in enumerate(name) if letter == "."} | {name}
            right = tuple(
                feed for feed, held in listed.items() if (above & held if feed == WILDCARDS else name in held)
            )
            if (answer := snapshot.domain(name).feeds) != right:
                wrong.append((name, answer, right))
    assert not wrong, f"{len(wrong)} answers are wrong, such as {wrong[:5]}"


def test_the_tables_name_the_network_and_country(real: Corpus) -> None:
    """ASN and country of an address are those of the row of the real tables that holds it, and none where none does."""
    with Snapshot.open_current(real.data) as snapshot:
        for table in ("asn/asn-ipv4.csv.gz", "asn/asn-ipv6.csv.gz"):
            for addresses, number in _rows(table):
                systems = [snapshot.autonomous_system(address) for address in addresses]
                assert [system[0] if system else None for system in systems] == [int(number)] * 3
        for table in ("country/asn-country-ipv4.csv.gz", "country/asn-country-ipv6.csv.gz"):
            for addresses, country in _rows(table):
                assert [snapshot.country(address) for address in addresses] == [country] * 3
        assert snapshot.country("127.0.0.1") is None
        assert snapshot.autonomous_system("fe80::1") is None


def _rows(table: str) -> Iterator[tuple[list[str], str]]:
    """Some rows of a real table: three addresses of its range, both ends among them, and its third cell."""
    for line in oracle.text_of(corpus.CORPUS / table).splitlines()[::97]:
        cells = line.split(",", 3)
        whole = oracle.between(cells[0], cells[1])
        assert whole is not None
        family, first, last = whole
        yield [as_text((family, value)) for value in (first, (first + last) // 2, last)], cells[2]


@pytest.fixture(scope="module")
def port(real: Corpus) -> Iterator[int]:
    """A daemon of one worker over the refreshed folder."""
    with program.serve(real.data, real.catalogue) as number:
        yield number


async def test_http_single_is_right(real: Corpus, port: int) -> None:
    """``GET /v1/ip/{ip}`` gives the same over many kept-alive connections, and the canonical text of the address."""
    answers: dict[str, dict[str, Any]] = {}
    share = -(-len(real.questions) // CONNECTIONS)
    parts = [real.questions[start : start + share] for start in range(0, len(real.questions), share)]
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(_ask(port, part, answers))
    assert_all_equal(real, real.questions, [answers[question]["feeds"] for question in real.questions], "GET /v1/ip")
    for question, answer in answers.items():
        assert answer["ip"] == canonical(question)
        assert answer["listed"] is bool(answer["feeds"])
        assert answer["snapshot"] == real.report["snapshot"]


async def _ask(port: int, questions: Sequence[str], answers: dict[str, dict[str, Any]]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    length = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
    for batch in _batches(questions, PIPELINE):
        writer.write(b"".join(f"GET /v1/ip/{ip} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for ip in batch))
        for question in batch:
            head = await reader.readuntil(b"\r\n\r\n")
            found = length.search(head)
            assert found is not None, head
            body = await reader.readexactly(int(found[1]))
            assert head.startswith(b"HTTP/1.1 200 "), body
            answers[question] = json.loads(body)
    writer.close()
    await writer.wait_closed()


def test_http_bulk_of_json_is_right(real: Corpus, port: int) -> None:
    """``POST /v1/ip`` with 50,000 addresses gives their answers in the order asked."""
    answers: list[dict[str, Any]] = []
    for number, batch in enumerate(_batches(real.questions, BULK)):
        body = json.dumps(batch if number % 2 else {"ips": batch})
        answers += json.loads(_post(port, body, "application/json"))
    assert [answer["ip"] for answer in answers] == [canonical(question) for question in real.questions]
    assert_all_equal(real, real.questions, [answer["feeds"] for answer in answers], "POST JSON")


def test_http_bulk_of_lines_is_right(real: Corpus, port: int) -> None:
    """``POST /v1/ip`` of plain lines, all at once, gives a JSON object a line in the order asked."""
    text = _post(port, "\n".join(real.questions) + "\n", "text/plain")
    answers = [json.loads(line) for line in text.splitlines()]
    assert [answer["ip"] for answer in answers] == [canonical(question) for question in real.questions]
    assert_all_equal(real, real.questions, [answer["feeds"] for answer in answers], "POST lines")


def _post(port: int, body: str, kind: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/v1/ip", body.encode(), {"Content-Type": kind})
        response = connection.getresponse()
        content = response.read()
        assert response.status == 200, content[:500]
        return content
    finally:
        connection.close()


def _batches(items: Sequence[str], size: int) -> Iterator[list[str]]:
    return (list(items[start : start + size]) for start in range(0, len(items), size))


def test_a_second_refresh_transfers_and_publishes_nothing(real: Corpus) -> None:
    """Asked again, every server answers 304, and the snapshot in force stays; asked a third time, nothing is due."""
    before = (real.data / "current").read_bytes()
    forced = program.refresh(real.data, real.catalogue, "--force")
    states = {row["feed"]: row["state"] for row in forced["feeds"]}
    first = {row["feed"]: row["state"] for row in real.report["feeds"]}
    assert states == {feed: "unchanged" if state == "updated" else state for feed, state in first.items()}
    assert sum(row["bytes"] for row in forced["feeds"] if row["state"] == "unchanged") == 0
    again = program.refresh(real.data, real.catalogue)
    assert {row["state"] for row in again["feeds"]} == {"not due"}
    assert not forced["published"]
    assert not again["published"]
    assert again["snapshot"] == real.report["snapshot"]
    assert (real.data / "current").read_bytes() == before


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
        assessor.confirm({record.id: FeedState(record.id, succeeded_at=time.time()) for record in snapshot.feeds})
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
