"""Redirects, the guard and proxies, over real connections."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from blocklistd.collect.fetch import MAX_REDIRECTS
from blocklistd.collect.guard import AddressRefusedError, Reach
from blocklistd.collect.model import Fetched
from blocklistd.collect.store import discard
from tests.collect.servers import BODY, TableResolver, closed_port, list_server, make_feed
from tests.collect.test_fetch import NEVER, fetch, fetcher, reason, responds

if TYPE_CHECKING:
    from pathlib import Path

    from blocklistd.catalogue import Feed

PUBLIC = "1.1.1.1"
"""Stands for any public address; nothing connects to it."""


def anonymous_tls(*, server: bool) -> ssl.SSLContext:
    """Real TLS without certificates, so that no key has to be kept for a test."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    if not server:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    return context


async def body_of(data: Path, feed: Feed, **options: Any) -> bytes:
    outcome = await fetch(data, feed, NEVER, **options)
    assert isinstance(outcome, Fetched), outcome
    body = outcome.parts[0].path.read_bytes()
    discard(outcome.parts)
    return body


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(tmp_path: Path, status: int) -> None:
    """Every kind of redirect leads to the list; validators of the feed's own URL keep its name."""
    async with list_server() as lists:
        lists.answers.update({"/list": responds(status, Location="moved?x=1#top"), "/moved": BODY})
        outcome = await fetch(tmp_path, make_feed(lists.url()))
        assert lists.paths == ["/list", "/moved"]
        assert isinstance(outcome, Fetched)
        assert outcome.parts[0].url == lists.url()


async def test_a_chain_of_redirects_has_an_end(tmp_path: Path) -> None:
    """Five redirects are followed, a sixth is not, and so a loop ends."""
    async with list_server() as lists:
        for number in range(MAX_REDIRECTS):
            lists.answers[f"/{number}"] = responds(302, Location=f"/{number + 1}")
        lists.answers[f"/{MAX_REDIRECTS}"] = BODY
        assert await body_of(tmp_path, make_feed(lists.url("/0"))) == BODY
        lists.answers["/loop"] = responds(302, Location="/loop")
        lists.requests.clear()
        assert await reason(tmp_path, make_feed(lists.url("/loop"))) == "more than 5 redirects"
        assert len(lists.requests) == MAX_REDIRECTS + 1


async def test_slow_redirects_share_one_time_limit(tmp_path: Path) -> None:
    """The time limit of a feed holds for the whole chain, not for each step of it."""

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(0.4)
        return web.Response(status=302, headers={"Location": "/list"})

    async with list_server() as lists:
        lists.answers["/list"] = answer
        assert await reason(tmp_path, make_feed(lists.url(), timeout="1s")) == "timed out after 1 s"
        assert len(lists.requests) <= 3


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("", "HTTP 302 without a target"),
        ("http://[bad/", "not a usable URL"),
        ("http:///nowhere", "HTTP 404"),
        ("http://:80/", "not a usable URL"),
        ("https://", "not a usable URL"),
        ("ftp://192.0.2.1/list", "redirect to ftp refused"),
        ("file:///etc/passwd", "redirect to file refused"),
        ("gopher://192.0.2.1:70/", "redirect to gopher refused"),
        ("http://169.254.169.254/latest/meta-data/", "redirect to a link-local or metadata address refused"),
        ("http://[fd00:ec2::254]/", "redirect to a link-local or metadata address refused"),
        ("http://[::ffff:169.254.169.254]/", "redirect to a link-local or metadata address refused"),
        ("http://2852039166/", "redirect to a link-local or metadata address refused"),
    ],
)
async def test_redirects_that_lead_nowhere_good(tmp_path: Path, location: str, expected: str) -> None:
    """Even a list on a private host is not followed to other schemes or to a metadata service."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(302, Location=location)
        assert await reason(tmp_path, make_feed(lists.url())) == expected
        assert len(lists.requests) <= 2


async def test_keys_are_not_carried_to_another_origin(tmp_path: Path) -> None:
    """Headers and authorization of a feed end with its own scheme, host and port; they return with them."""
    async with list_server() as lists, list_server() as other:
        lists.answers["/list"] = responds(302, Location="/next")
        lists.answers["/next"] = responds(302, Location=other.url("/away").replace("http://", "http://eve:evil@"))
        other.answers["/away"] = responds(302, Location=lists.url("/home"))
        lists.answers["/home"] = BODY
        url = lists.url().replace("http://", "http://reader:word@")
        feed = make_feed(url, headers={"Auth-Key": "k-1", "Cookie": "session=1"})
        assert await body_of(tmp_path, feed) == BODY
        for request in lists.requests:
            assert request.headers["Auth-Key"] == "k-1"
            assert request.headers["Authorization"].startswith("Basic ")
        (away,) = other.requests
        assert not {"Auth-Key", "Authorization", "Cookie"} & set(away.headers)
        assert away.headers["User-Agent"].startswith("blocklistd/")


async def test_a_public_list_does_not_lead_inside(tmp_path: Path) -> None:
    """A redirect from a public list to loopback is refused in every notation, and nothing is asked there."""
    async with list_server() as proxy, list_server() as inside:
        inside.answers["/secret"] = BODY
        port = inside.base.rpartition(":")[2]
        options: dict[str, Any] = {
            "resolver": TableResolver({}),
            "environment": {"http_proxy": proxy.base, "no_proxy": "127.0.0.1"},
        }
        for host in ("127.0.0.1", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]"):
            proxy.answers["/list"] = responds(302, Location=f"http://{host}:{port}/secret")
            found = await reason(tmp_path, make_feed("http://lists.example/list"), **options)
            assert found == "redirect to a private address refused", host
        assert inside.requests == []
        assert all(request.host == "lists.example" for request in proxy.requests)


async def test_a_name_that_resolves_inside_is_not_connected_to(tmp_path: Path) -> None:
    """A redirect to a public-looking name is checked by the address it resolves to at the moment of connecting."""
    async with list_server() as proxy, list_server() as inside:
        port = inside.base.rpartition(":")[2]
        proxy.answers["/list"] = responds(302, Location=f"http://trap.example:{port}/secret")
        resolver = TableResolver({"trap.example": ["127.0.0.1"]})
        environment = {"http_proxy": proxy.base, "no_proxy": ".example.org,trap.example"}
        feed = make_feed("http://lists.example/list")
        found = await reason(tmp_path, feed, resolver=resolver, environment=environment)
        assert found == "redirect to a private address refused"
        assert inside.requests == []


async def test_a_proxy_is_not_led_inside_either(tmp_path: Path) -> None:
    """Through a proxy, names that we can see to be private are refused; those only it can resolve are its business."""
    async with list_server() as proxy:
        proxy.answers["/list"] = responds(302, Location="http://trap.example/secret")
        proxy.answers["/secret"] = BODY
        feed = make_feed("http://lists.example/list")
        environment = {"HTTP_PROXY": proxy.base}
        trap = TableResolver({"trap.example": ["10.0.0.7"]})
        found = await reason(tmp_path, feed, resolver=trap, environment=environment)
        assert found == "redirect to a private address refused"
        for table in ({}, {"trap.example": [PUBLIC]}):
            resolver = TableResolver(table)
            assert await body_of(tmp_path, feed, resolver=resolver, environment=environment) == BODY


async def test_a_private_list_may_stay_inside(tmp_path: Path) -> None:
    """A list whose own name resolves to a private address may redirect to such."""
    async with list_server() as lists:
        port = lists.base.rpartition(":")[2]
        lists.answers.update({"/list": responds(302, Location=f"http://other.lan:{port}/moved"), "/moved": BODY})
        resolver = TableResolver({"lists.lan": ["127.0.0.1"], "other.lan": ["127.0.0.1"]})
        assert await body_of(tmp_path, make_feed(f"http://lists.lan:{port}/list"), resolver=resolver) == BODY


async def test_a_name_that_once_was_public_stays_public(tmp_path: Path) -> None:
    """A name that is rebound to loopback after its first answer gains nothing: the most public address counts."""
    async with fetcher(tmp_path, resolver=(table := TableResolver({"lists.example": [PUBLIC]}))) as client:
        client._session(Reach.METADATA)
        resolver = client._resolvers[Reach.METADATA]
        await resolver.resolve("lists.example")
        table.table["lists.example"] = ["127.0.0.1"]
        await resolver.resolve("lists.example")
        assert resolver.nearest["lists.example"] is Reach.PUBLIC


async def test_the_connector_asks_the_guard(tmp_path: Path) -> None:
    """A guarded session refuses at the connection, whoever asked for it."""
    async with list_server() as inside:
        port = inside.base.rpartition(":")[2]
        resolver = TableResolver({"trap.example": ["127.0.0.1"]})
        async with fetcher(tmp_path, resolver=resolver) as client:
            with pytest.raises(aiohttp.ClientConnectorError) as caught:
                await client._session(Reach.PUBLIC).get(f"http://trap.example:{port}/")
            assert isinstance(caught.value.os_error, AddressRefusedError)
        assert inside.requests == []


async def test_https_never_becomes_http(tmp_path: Path) -> None:
    """A list that was asked for over TLS is not taken without."""
    tls = anonymous_tls(server=False)
    async with list_server(tls=anonymous_tls(server=True)) as secure, list_server() as plain:
        plain.answers["/list"] = BODY
        secure.answers.update({"/list": responds(302, Location=plain.url()), "/good": BODY})
        found = await reason(tmp_path, make_feed(secure.url()), tls=tls)
        assert found == "redirect from https to http refused"
        assert plain.requests == []
        plain.answers["/up"] = responds(302, Location=secure.url("/good"))
        assert await body_of(tmp_path, make_feed(plain.url("/up")), tls=tls) == BODY


async def test_tls_trouble_is_named(tmp_path: Path) -> None:
    """A server that speaks no TLS, or none we accept, is refused with the library's reason."""
    async with list_server() as plain, list_server(tls=anonymous_tls(server=True)) as secure:
        found = await reason(tmp_path, make_feed(plain.url().replace("http://", "https://")))
        assert found == "TLS: wrong version number"
        found = await reason(tmp_path, make_feed(secure.url()))
        assert found == "connection reset" or found.startswith("TLS: ")


async def test_a_proxy_gets_its_own_authorization(tmp_path: Path) -> None:
    """User and password of the proxy go to the proxy, as its URL has them."""
    async with list_server() as proxy:
        proxy.answers["/list"] = BODY
        environment = {"http_proxy": proxy.base.replace("http://", "http://me:word@")}
        assert await body_of(tmp_path, make_feed("http://lists.example/list"), environment=environment) == BODY
        (request,) = proxy.requests
        assert request.headers["Proxy-Authorization"] == "Basic bWU6d29yZA=="
        assert request.host == "lists.example"


async def test_no_proxy_is_honoured(tmp_path: Path) -> None:
    """Hosts in no_proxy are asked directly."""
    async with list_server() as lists:
        lists.answers["/list"] = BODY
        environment = {"http_proxy": f"http://127.0.0.1:{closed_port()}", "NO_PROXY": "other.example, 127.0.0.1"}
        assert await body_of(tmp_path, make_feed(lists.url()), environment=environment) == BODY
        del environment["NO_PROXY"]
        assert await reason(tmp_path, make_feed(lists.url()), environment=environment) == "cannot reach the proxy"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxies_that_do_not_work(tmp_path: Path, scheme: str) -> None:
    """A proxy of an unknown kind, or one that refuses, is named as the culprit."""
    feed = make_feed(f"{scheme}://lists.example/list")
    found = await reason(tmp_path, feed, environment={"all_proxy": "socks5://127.0.0.1:1"})
    assert found == "a proxy of kind 'socks5' is not supported"
    if scheme == "https":
        async with list_server() as proxy:
            found = await reason(tmp_path, feed, environment={"https_proxy": proxy.base})
        assert found == "the proxy refused"


async def test_a_literal_in_no_common_notation_is_asked_only_if_it_is_ours(tmp_path: Path) -> None:
    """The client library refuses odd literals; that is a reason, not a crash."""
    assert await reason(tmp_path, make_feed("http://2130706433/list")) == "not a usable URL"


async def test_a_redirect_answers_with_a_body_of_any_size(tmp_path: Path) -> None:
    """The body of a redirect is not read."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=302, body=bytes(2**22), headers={"Location": "/moved"})

    async with list_server() as lists:
        lists.answers.update({"/list": answer, "/moved": BODY})
        assert await body_of(tmp_path, make_feed(lists.url(), max_bytes=1000)) == BODY
