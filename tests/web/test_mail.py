"""Reports on mail over real HTTP: single and bulk, profiles, DNS, and that no address gets into a log."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgpack
import pytest
from yarl import URL

from blocklistd.metrics import LISTED, LOOKUPS, MAIL_DNS, VERDICTS
from blocklistd.reputation.mail_servers import MailServerLookup
from blocklistd.reputation.policy import Condition, DecisionLogging, Policy, Profile, Rule, Suppressed
from blocklistd.web.app import make_app
from blocklistd.web.bulk import MOST_ITEMS
from blocklistd.web.mail import BATCH
from tests.dns_server import NameServer, name_server
from tests.support import make_snapshot
from tests.web.conftest import make_service
from tests.web.rig import Side, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from pytest_aiohttp import AiohttpClient

    from blocklistd.web.service import Service
    from tests.web.conftest import Client

THROWAWAY = Rule("throwaway", Condition(categories=frozenset({"disposable"})), mildest="block")
POLICY = Policy(
    {"default": Profile("default"), "signup": Profile("signup", rules=(THROWAWAY,), fail="closed")},
    Suppressed(frozenset()),
)
PLACES = ("other", *POLICY.profiles)
FEEDS = {"attacks": ["192.0.2.66"]}
DOMAINS = {"trash": ["trash.example.org"], "free": ["free.example.com"]}
SECRETIVE = "zebra-quagga"
"""A local part that stands nowhere else."""
MAILS = {"spammers": [f"{SECRETIVE}@example.com"]}
DESCRIBED: dict[str, dict[str, Any]] = {
    "attacks": {"weight": 40},
    "trash": {"category": "disposable", "weight": 60},
    "free": {"category": "free_mail", "weight": 0},
    "spammers": {"category": "spam", "weight": 40},
}
ZONE = {
    ("trash.example.org", "A"): (300, ["192.0.2.1"]),
    ("example.org", "MX"): (300, ["10 mx.example.net."]),
    ("mx.example.net", "A"): (300, ["192.0.2.66"]),
}


@pytest.fixture
def mailing(tmp_path: Path) -> Iterator[Service]:
    make_snapshot(tmp_path, FEEDS, domains=DOMAINS, mails=MAILS, described=DESCRIBED)
    made = make_service(tmp_path)
    made.use_policy(POLICY, PLACES)
    yield made
    made.state.close()


@pytest.fixture
async def caller(mailing: Service, aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(make_app(mailing))


@pytest.fixture
async def names(mailing: Service) -> AsyncIterator[NameServer]:
    async with name_server(ZONE) as server:
        mailing.mail_servers = MailServerLookup(
            [server.address], count=lambda result: mailing.row.add(MAIL_DNS, result)
        )
        yield server


async def get(caller: Client, path: str, status: int = 200) -> dict[str, Any]:
    response = await caller.get(URL(path, encoded=True))
    body: dict[str, Any] = await response.json(content_type=None)
    assert response.status == status, body
    return body


def timeless(report: dict[str, Any]) -> dict[str, Any]:
    return {**report, "snapshot": {**report["snapshot"], "age_seconds": 0}}


def counts(service: Service) -> dict[tuple[str, ...], float]:
    watched = {LOOKUPS, LISTED, VERDICTS, MAIL_DNS}
    return {
        (sample.metric.name, *sample.labels): sample.value
        for sample in service.counters.samples()
        if sample.metric in watched and sample.value
    }


async def test_a_report_has_the_shape_of_the_contract(caller: Client, names: NameServer) -> None:
    """Every property the contract needs and no other, at every level that it describes."""
    schemas = (await get(caller, "/openapi.json"))["components"]["schemas"]
    mail = await get(caller, "/v1/email/info@trash.example.org")
    served = await get(caller, "/v1/email/a@example.org")
    domain = await get(caller, "/v1/domain/trash.example.org")
    properties = schemas["MailReport"]["properties"]
    parts = [(schemas["MailReport"], mail), (schemas["DomainAnswer"], domain)]
    parts += [(schemas["NameEvidence"], mail["listings"][0]), (schemas["NameEvidence"], domain["listings"][0])]
    parts += [(properties[name], mail[name]) for name in ("flags", "dns", "snapshot")]
    parts += [(schemas["DomainAnswer"]["properties"]["flags"], domain["flags"])]
    parts += [(properties["signals"]["items"], served["signals"][0])]
    parts += [(properties["dns"]["properties"]["servers"]["items"], served["dns"]["servers"][0])]
    for schema, body in parts:
        assert set(schema["required"]) == set(schema["properties"]) == set(body)
    assert (mail["score"], mail["verdict"], mail["flags"]["role"]) == (60, "challenge", True)
    assert (domain["listed"], domain["feeds"], domain["score"]) == (True, ["trash"], 60)
    assert isinstance(domain["snapshot"], str)


@pytest.mark.parametrize(
    "address",
    ["a+b@example.org", "a/b/c@example.org", "a?b@example.org", "a#b@example.org", "a%b@example.org", "é@example.org"],
)
async def test_any_local_part_gets_through(caller: Client, address: str) -> None:
    """Percent-encoded or, where a path may hold it, as it is."""
    assert (await get(caller, f"/v1/email/{quote(address, safe='')}"))["address"] == address
    assert (await get(caller, f"/v1/email/{quote(address, safe='/@+')}"))["address"] == address


async def test_what_is_no_address_is_reported_as_such(caller: Client) -> None:
    """With 200 and the problem: whoever asks about a form's field wants a verdict, not a failure."""
    report = await get(caller, "/v1/email/nonsense")
    assert (report["valid"], report["verdict"], report["dns"]["mx"]) == (False, "block", None)
    assert report["problem"].endswith("@-sign.")


async def test_the_query_names_the_profile(caller: Client, names: NameServer) -> None:
    """An unknown one is refused with the names there are, before anybody is asked anything."""
    report = await get(caller, "/v1/email/a@trash.example.org?profile=signup")
    assert (report["verdict"], report["decided_by"], report["fail"]) == ("block", "rule 1: throwaway", "closed")
    assert (await get(caller, "/v1/domain/trash.example.org?profile=signup"))["verdict"] == "block"
    names.questions.clear()
    for path in ("/v1/email/a@example.org", "/v1/domain/example.org"):
        assert "default, signup" in (await get(caller, f"{path}?profile=admin", 400))["detail"]
    assert (await caller.post("/v1/email?profile=admin", json=["a@example.org"])).status == 400
    assert names.questions == []


async def test_bulk_gives_what_single_gives(caller: Client) -> None:
    """Array, object, msgpack and lines: the single reports in the order asked, bad items with their reason."""
    asked = ["a@trash.example.org", "nonsense", f"{SECRETIVE}@example.com", *["x@example.org"] * (2 * BATCH)]
    single = {text: await get(caller, f"/v1/email/{text}?profile=signup") for text in set(asked)}
    url, packed = "/v1/email?profile=signup", {"Accept": "application/msgpack"}
    answers = {
        "array": await (await caller.post(url, json=asked)).json(),
        "object": await (await caller.post(url, json={"emails": asked})).json(),
        "msgpack": msgpack.unpackb(await (await caller.post(url, json=asked, headers=packed)).read()),
    }
    lines = await caller.post(url, data="\n".join(asked), headers={"Content-Type": "text/plain"})
    assert lines.content_type == "application/x-ndjson"
    answers["lines"] = [json.loads(line) for line in (await lines.text()).splitlines()]
    for way, found in answers.items():
        assert list(map(timeless, found)) == [timeless(single[text]) for text in asked], way
    odd = await (await caller.post("/v1/email", json=[7, None, ["x"]])).json()
    assert [set(item) for item in odd] == [{"address", "error"}] * 3


async def test_bulk_has_the_limits_of_other_bulk(caller: Client) -> None:
    """Too many items, no array, or another type of body are refused before anything is streamed."""
    assert (await caller.post("/v1/email", json=["a@example.org"] * (MOST_ITEMS + 1))).status == 413
    refused = await caller.post("/v1/email", json={"ips": []})
    assert refused.status == 400
    assert '{"emails": […]}' in (await refused.json())["detail"]
    assert (await caller.post("/v1/email", data=b"x", headers={"Content-Type": "text/csv"})).status == 415


async def test_dns_is_asked_for_single_questions_alone(caller: Client, mailing: Service, names: NameServer) -> None:
    """Once for each domain, never for bulk, for private names, for what is no address; then it counts."""
    for _ in range(2):
        report = await get(caller, "/v1/email/a@example.org")
        assert (report["dns"]["mx"], report["dns"]["takes_mail"], report["score"]) == (True, True, 20)
        assert report["dns"]["servers"] == [{"ip": "192.0.2.66", "score": 40, "feeds": ["attacks"]}]
    assert (await get(caller, "/v1/domain/example.org"))["signals"] == [{"signal": "server_listed", "contribution": 20}]
    assert names.questions.count(("example.org", "MX")) == 1
    names.questions.clear()
    (bulk,) = await (await caller.post("/v1/email", json=["a@other.example.org"])).json()
    assert bulk["dns"]["asked"] is False
    for text in ("a@mail.intern.corp", "a@printer.local", "a b@example.net", "a@[192.0.2.1]", "a@localhost"):
        assert (await get(caller, f"/v1/email/{quote(text)}"))["dns"]["asked"] is False
    assert (await get(caller, "/v1/domain/mail.intern.corp"))["dns"]["asked"] is False
    assert names.questions == []
    missing = await get(caller, "/v1/email/a@missing.example.org")
    assert (missing["dns"]["domain_exists"], missing["signals"][0]["signal"]) == (False, "no_such_domain")
    counted = counts(mailing)
    assert counted["blocklistd_mail_dns_total", "answered"] == 2
    assert counted["blocklistd_mail_dns_total", "cached"] == 2


async def test_without_dns_nothing_is_claimed(caller: Client) -> None:
    """Not asked is null, not false."""
    dns = (await get(caller, "/v1/email/a@example.org"))["dns"]
    assert dns.pop("asked") is False
    assert set(dns.values()) == {None}


async def test_reports_and_verdicts_are_counted(caller: Client, mailing: Service) -> None:
    """By kind and profile; no label holds anything of an address."""
    await get(caller, f"/v1/email/{SECRETIVE}@example.com")
    await caller.post("/v1/email?profile=signup", json=["a@trash.example.org", "a@free.example.com", "nonsense", 7])
    await get(caller, "/v1/domain/trash.example.org")
    assert counts(mailing) == {
        ("blocklistd_lookups_total", "email"): 4,
        ("blocklistd_listed_total", "email"): 2,
        ("blocklistd_lookups_total", "domain"): 1,
        ("blocklistd_listed_total", "domain"): 1,
        ("blocklistd_verdicts_total", "default", "flag"): 1,
        ("blocklistd_verdicts_total", "default", "challenge"): 1,
        ("blocklistd_verdicts_total", "signup", "allow"): 1,
        ("blocklistd_verdicts_total", "signup", "block"): 2,
    }
    assert SECRETIVE not in await (await caller.get("/metrics")).text()


async def test_a_new_snapshot_is_reported_from(caller: Client, mailing: Service) -> None:
    """Nothing that was kept outlives the snapshot it came from."""
    assert (await get(caller, "/v1/email/a@new.example.org"))["listed"] is False
    make_snapshot(mailing.data, {}, domains={"trash": ["new.example.org"]}, described=DESCRIBED)
    assert mailing.cell.poll()
    mailing.judging.follow(mailing.snapshot)
    async with asyncio.timeout(10):
        report = await get(caller, "/v1/email/a@new.example.org")
        while report["snapshot"]["id"] != mailing.snapshot.id:  # until the lists of the new one are open
            await asyncio.sleep(0.01)
            report = await get(caller, "/v1/email/a@new.example.org")
    assert report["listed"] is True


def requests() -> Iterator[tuple[bytes, bool]]:
    """Questions of all kinds, good and bad, that hold ``SECRETIVE``; and whether their caller leaves in the middle."""
    for text in ("@example.com", "@example.org", "@silent.example.org", "@", " x@", "", "\0@x.org", "@x..y", "/@x.org"):
        yield closing(f"/v1/email/{quote(SECRETIVE + text)}"), False
    for path in (f"email/{SECRETIVE}@x.org?profile={SECRETIVE}", f"domain/{SECRETIVE}@x.org", f"ip/{SECRETIVE}@x.org"):
        yield closing(f"/v1/{path}"), False
    good = closing(f"/v1/email/{SECRETIVE}@example.com")
    yield good.replace(b"GET", b"DELETE"), False
    yield from ((bad, False) for bad in (good.replace(b"GET", b"G\0T"), good.replace(b"1.1", b"9")))
    yield from ((good[:-9], True), (closing(f"/v1/email/{SECRETIVE}@mute.example.org"), True))
    for kind, body in (
        ("application/json", f'["{SECRETIVE}@example.com"]'),
        ("application/json", f'["{SECRETIVE}@example.com"'),
        ("text/plain", f"{SECRETIVE}@example.com\n"),
        ("text/csv", f"{SECRETIVE}@example.com\n"),
    ):
        head = closing("/v1/email", f"Content-Type: {kind}", f"Content-Length: {len(body)}").replace(b"GET", b"POST")
        yield head + body.encode(), False
        yield head + body.encode()[:-3], True


def closing(path: str, *headers: str) -> bytes:
    return request(path, "Connection: close", *headers)


async def test_no_address_is_ever_logged(mailing: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not at debug, not by any library, not for errors, broken requests or callers that leave; nor as a decision."""
    caplog.set_level(logging.DEBUG)
    side = await Side.open(mailing.data, tmp_path / "socket")
    service = side.service
    logged = Policy(POLICY.profiles, POLICY.suppress, DecisionLogging(enabled=True, whole_addresses=True))
    service.use_policy(logged, PLACES)
    async with name_server(ZONE, silent=frozenset({"silent.example.org", "mute.example.org"})) as server:
        service.mail_servers = MailServerLookup([server.address])
        try:
            async with asyncio.timeout(30):
                (good, _), *_ = requests()
                assert b"HTTP/1.1 200" in await talk(side, good)
                for data, leaves in requests():
                    await talk(side, data, leaves=leaves)
                (mailing.data / "secret").unlink()
                (mailing.data / "secret").mkdir()
                service.use_policy(POLICY, PLACES)
                assert b"HTTP/1.1 503" in await talk(side, good)
        finally:
            await side.close()
        asked = {name for name, _ in server.questions}
    assert {"example.org", "silent.example.org"} <= asked
    written = [path.read_bytes() for path in mailing.data.rglob("*") if path.is_file()]
    assert not any(SECRETIVE in name for name in asked)
    assert not any(SECRETIVE.encode() in body for body in written)
    assert caplog.records, "at debug something is always logged"
    for record in caplog.records:
        assert SECRETIVE not in f"{record.getMessage()} {record.args} {record.exc_text}"


async def talk(side: Side, data: bytes, *, leaves: bool = False) -> bytes:
    """The answer to one request, when the worker is through with it."""
    client = await side.connect(unix=True)
    client.send(data)
    answer = await (client.settle() if leaves else client.wait_end())
    client.close()
    await side.deserted()
    return answer


def test_a_worker_that_is_asked_for_no_mail_stays_light() -> None:
    """Neither the worker nor the routes import what reads addresses, or DNS, before they are needed."""
    script = (
        "import sys; import blocklistd.daemon.worker, blocklistd.web.app, blocklistd.reputation.mail_servers;"
        "heavy = {'email_validator', 'dns', 'publicsuffixlist', 'blocklistd.reputation.mail_address'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
