"""Asking a real name server on loopback for the mail servers of domains."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from blocklistd.reputation import mail_servers
from blocklistd.reputation.mail_servers import LONGEST, SHORTEST, MailServerLookup, MailServers, is_reachable
from tests.dns_server import name_server

ZONE = {
    ("example.org", "MX"): (300, ["20 second.example.net.", "10 First.example.net."]),
    ("first.example.net", "A"): (900, ["192.0.2.1"]),
    ("first.example.net", "AAAA"): (900, ["2001:db8::1"]),
    ("second.example.net", "A"): (120, ["192.0.2.2"]),
    ("plain.example.org", "A"): (300, ["192.0.2.3"]),
    ("null.example.org", "MX"): (300, ["0 ."]),
    ("lost.example.org", "MX"): (300, ["10 nowhere.example.net."]),
    ("inward.example.org", "MX"): (300, ["10 home.example.net."]),
    ("home.example.net", "A"): (300, ["127.0.0.1", "0.0.0.0"]),
    ("text.example.org", "TXT"): (300, ['"hello"']),
    ("many.example.org", "MX"): (300, [f"{number} mx{number}.example.net." for number in range(9)]),
    ("slow.example.org", "MX"): (300, ["10 mute.example.net.", "20 second.example.net."]),
}


@pytest.mark.parametrize(
    ("domain", "expected", "takes_mail"),
    [
        (
            "example.org",
            MailServers(
                has_mx=True,
                hosts=("first.example.net", "second.example.net"),
                addresses=("192.0.2.1", "192.0.2.2", "2001:db8::1"),
            ),
            True,
        ),
        ("plain.example.org", MailServers(addresses=("192.0.2.3",)), True),
        ("null.example.org", MailServers(has_mx=True, refuses=True), False),
        ("none.example.org", MailServers(exists=False), False),
        ("lost.example.org", MailServers(has_mx=True, hosts=("nowhere.example.net",)), False),
        ("inward.example.org", MailServers(has_mx=True, hosts=("home.example.net",)), False),
        ("text.example.org", MailServers(), False),
    ],
)
async def test_what_dns_says_is_understood(domain: str, expected: MailServers, takes_mail: bool) -> None:
    """Servers in order of preference, the domain's own address where it names none, refusal, and absence."""
    async with name_server(ZONE) as server:
        found = await MailServerLookup([server.address]).servers(domain)
    assert found is not None
    assert (
        MailServers(found.exists, found.has_mx, found.refuses, found.hosts, tuple(sorted(found.addresses))) == expected
    )
    assert found.takes_mail is takes_mail


async def test_trouble_is_no_answer() -> None:
    """A server that fails, and one that nobody hears of, are not the domain's fault."""
    async with name_server(ZONE, broken=frozenset({"example.org"}), silent=frozenset({"plain.example.org"})) as server:
        lookup = MailServerLookup([server.address])
        found = await asyncio.gather(lookup.servers("example.org"), lookup.servers("plain.example.org"))
    assert list(found) == [None, None]


async def test_what_is_known_when_time_is_up_counts() -> None:
    """One server's address does not come: that of the other does, and no more is claimed than that."""
    async with name_server(ZONE, silent=frozenset({"mute.example.net"})) as server:
        found = await MailServerLookup([server.address]).servers("slow.example.org")
    assert found is not None
    assert (found.addresses, found.whole, found.takes_mail) == (("192.0.2.2",), False, True)
    assert MailServers(has_mx=True, hosts=("mute.example.net",), whole=False).takes_mail is None


async def test_answers_are_kept_for_their_time_to_live() -> None:
    """The shortest of all records, within bounds; the count tells what came of each question."""
    now, counted = 0.0, Counter[str]()
    async with name_server(ZONE, broken=frozenset({"bad.example.org"})) as server:
        lookup = MailServerLookup([server.address], count=lambda result: counted.update([result]), clock=lambda: now)

        async def asks(domain: str) -> bool:
            before = len(server.questions)
            await lookup.servers(domain)
            return len(server.questions) > before

        assert await asks("example.org")
        now = 119
        assert not await asks("example.org")
        now = 120
        assert await asks("example.org")
        assert await asks("none.example.org")
        now += SHORTEST - 1
        assert not await asks("none.example.org")
        assert await asks("bad.example.org")
        assert not await asks("bad.example.org")
        now += mail_servers.FAILURE_KEPT
        assert await asks("bad.example.org")
    assert counted == {"answered": 3, "cached": 3, "unanswered": 2}
    assert LONGEST > SHORTEST


async def test_no_more_is_kept_than_the_limit() -> None:
    """The oldest answer makes room for a new one."""
    lookup = MailServerLookup()
    for number in range(mail_servers.MOST_KEPT + 5):
        lookup._keep(f"d{number}.example.org", MailServers(), 60.0)
    assert len(lookup._known) == mail_servers.MOST_KEPT
    assert "d4.example.org" not in lookup._known
    assert "d5.example.org" in lookup._known


async def test_callers_of_one_domain_share_a_question() -> None:
    """Ten at once are one query; one of them that leaves does not spoil it for the others."""
    async with name_server(ZONE) as server:
        lookup = MailServerLookup([server.address])
        tasks = [asyncio.create_task(lookup.servers("plain.example.org")) for _ in range(10)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        found = await asyncio.gather(*tasks[1:])
        assert server.questions.count(("plain.example.org", "MX")) == 1
    assert {servers.addresses for servers in found if servers} == {("192.0.2.3",)}
    assert tasks[0].cancelled()


async def test_only_so_many_are_asked_at_once() -> None:
    """Whoever comes beyond the limit has no answer, and has not to wait for it."""
    names = [f"s{number}.example.org" for number in range(mail_servers.MOST_UNDER_WAY)]
    async with name_server(ZONE, silent=frozenset(names)) as server:
        lookup = MailServerLookup([server.address])
        waiting = [asyncio.create_task(lookup.servers(name)) for name in names]
        await asyncio.sleep(0)
        assert await lookup.servers("plain.example.org") is None
        assert ("plain.example.org", "MX") not in server.questions
        await lookup.close()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert await lookup.servers("plain.example.org") is not None


async def test_few_servers_are_asked_for() -> None:
    """A domain with many servers costs no more queries than one with three."""
    async with name_server(ZONE) as server:
        found = await MailServerLookup([server.address]).servers("many.example.org")
    assert found is not None
    assert found.hosts == ("mx0.example.net", "mx1.example.net", "mx2.example.net")
    assert len(server.questions) == 1 + 2 * mail_servers.MOST_HOSTS


@pytest.mark.parametrize(
    ("address", "reachable"),
    [("192.0.2.1", True), ("127.0.0.1", False), ("0.0.0.0", False), ("::1", False), ("::", False)],
)
def test_loopback_is_nobodys_mail_server(address: str, *, reachable: bool) -> None:
    """An address that means the asking host itself takes no mail."""
    assert is_reachable(address) is reachable
