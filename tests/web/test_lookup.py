"""GET /v1/ip, GET /v1/domain: one question, one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgpack
import pytest
from yarl import URL

from tests.support import make_snapshot

if TYPE_CHECKING:
    from blocklistd.web.service import Service
    from tests.web.conftest import Client


@pytest.mark.parametrize(
    ("question", "ip", "feeds"),
    [
        ("192.0.2.1", "192.0.2.1", ["alpha", "beta"]),
        ("192.0.2.2", "192.0.2.2", ["alpha"]),
        ("203.0.113.9", "203.0.113.9", []),
        ("2001:db8::1", "2001:db8::1", ["alpha", "beta"]),
        ("2001:DB8:0:0:0:0:0:2", "2001:db8::2", ["alpha"]),
        ("2001%3Adb8%3A%3A1", "2001:db8::1", ["alpha", "beta"]),
        ("::ffff:192.0.2.1", "192.0.2.1", ["alpha", "beta"]),
        ("::ffff:c000:201", "192.0.2.1", ["alpha", "beta"]),
        ("::", "::", []),
        ("0.0.0.0", "0.0.0.0", []),
        ("255.255.255.255", "255.255.255.255", []),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", []),
    ],
)
async def test_an_address_is_answered_with_every_list_that_names_it(
    client: Client, service: Service, question: str, ip: str, feeds: list[str]
) -> None:
    """The answer names all lists in catalogue order, and the address as RFC 5952 writes it."""
    response = await client.get(URL(f"/v1/ip/{question}", encoded=True))
    assert response.status == 200
    assert response.content_type == "application/json"
    expected = {"ip": ip, "listed": bool(feeds), "feeds": feeds, "snapshot": service.snapshot.id}
    assert await response.json() == expected


@pytest.mark.parametrize(
    "question",
    [
        *("1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.4:80", "1.2.3.4%20", "%201.2.3.4", "0x7f000001"),
        *("192.0.2.0/24", "192.0.2.0%2F24", "fe80::1%25eth0", "[2001:db8::1]", ":::", "example.org", "%00", "%FF%FE"),
        *("1.2.3.4%00", "1.2.3.4%0A", "1" * 5000, "٣.1.1.1", "1.2.3.4/"),
    ],
)
async def test_a_malformed_address_gets_400_and_a_sentence(client: Client, question: str) -> None:
    """Whatever is no plain address is refused as a problem, never guessed at."""
    response = await client.get(URL(f"/v1/ip/{question}", encoded=question.isascii()))
    assert response.status == 400
    assert response.content_type == "application/problem+json"
    problem = await response.json()
    assert problem["status"] == 400
    assert problem["title"] == "Bad Request"
    assert problem["detail"].endswith("is not an IPv4 or IPv6 address")
    assert len(problem["detail"]) < 500


@pytest.mark.parametrize(
    "accept", ["application/msgpack", "application/json;q=0.5, application/msgpack", "application/x-msgpack"]
)
async def test_msgpack_holds_the_same_body(client: Client, accept: str) -> None:
    """Who accepts msgpack gets the very body of the JSON answer in it."""
    plain = await (await client.get("/v1/ip/192.0.2.1")).json()
    response = await client.get("/v1/ip/192.0.2.1", headers={"Accept": accept})
    assert response.content_type == "application/msgpack"
    assert msgpack.unpackb(await response.read()) == plain


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/msgpack;q=0", "text/html, msgpack"])
async def test_json_is_the_answer_for_everyone_else(client: Client, accept: str) -> None:
    """No Accept header leads to 406, and weight 0 means no."""
    response = await client.get("/v1/ip/192.0.2.1", headers={"Accept": accept})
    assert response.content_type == "application/json"


async def test_head_is_answered_without_a_body(client: Client) -> None:
    """HEAD gives status and headers of GET."""
    response = await client.head("/v1/ip/192.0.2.1")
    assert response.status == 200
    assert await response.read() == b""


@pytest.mark.parametrize(
    ("question", "name", "listed"),
    [
        ("bad.example.org", "bad.example.org", True),
        ("BAD.Example.ORG.", "bad.example.org", True),
        ("www.bad.example.org", "www.bad.example.org", False),
        ("a.b.evil.example", "a.b.evil.example", True),
        ("b%C3%BCcher.example", "xn--bcher-kva.example", False),
    ],
)
async def test_a_domain_is_answered_under_its_normal_name(
    client: Client, question: str, name: str, *, listed: bool
) -> None:
    """Case, final dot and international letters do not matter; a wildcard names everything below it."""
    response = await client.get(URL(f"/v1/domain/{question}", encoded=True))
    answer = await response.json()
    assert (response.status, answer["domain"], answer["listed"]) == (200, name, listed)
    assert answer["feeds"] == (["mailers"] if listed else [])


@pytest.mark.parametrize(
    "question", ["localhost", "192.0.2.1", "*.evil.example", "a b.example", "x" * 300, "||x.example^"]
)
async def test_what_is_no_domain_gets_400(client: Client, question: str) -> None:
    """Notations of lists are no questions."""
    response = await client.get(f"/v1/domain/{question}")
    assert response.status == 400
    assert response.content_type == "application/problem+json"


async def test_without_a_snapshot_a_lookup_is_503(empty_client: Client) -> None:
    """Before the first snapshot nobody is told that an address is clean."""
    for path in ("/v1/ip/192.0.2.1", "/v1/domain/bad.example.org", "/readyz"):
        response = await empty_client.get(path)
        assert response.status == 503
        assert response.headers["Retry-After"] == "5"
        assert "no snapshot" in (await response.json())["detail"]


async def test_a_new_snapshot_is_answered_from_after_the_poll(client: Client, service: Service) -> None:
    """The cell is the one place that changes: after a poll the next request is answered from the new snapshot."""
    published = make_snapshot(service.data, {"gamma": ["203.0.113.9"]})
    assert service.cell.poll()
    answer = await (await client.get("/v1/ip/203.0.113.9")).json()
    assert (answer["feeds"], answer["snapshot"]) == (["gamma"], published)
