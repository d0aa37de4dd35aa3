"""Reports over real HTTP: single and bulk, profiles, what renews them, what is counted."""

from __future__ import annotations

import asyncio
import gc
import json
import time
import weakref
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from blocklistd.collect.state import FeedState, write_state
from blocklistd.metrics import LISTED, LOOKUPS, SHADOW_VERDICTS, VERDICTS
from blocklistd.reputation.policy import DecisionLogging, Policy, Profile, Rule, Suppressed
from blocklistd.reputation.policy.model import Condition
from blocklistd.state.audit import Actor
from blocklistd.state.database import Database
from blocklistd.state.overrides import Override, put_override
from blocklistd.web.app import make_app
from blocklistd.web.bulk import MOST_ITEMS
from blocklistd.web.judging import Judging
from blocklistd.web.report import BATCH
from tests.support import make_snapshot
from tests.web.conftest import make_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_aiohttp import AiohttpClient

    from blocklistd.web.service import Service
    from tests.web.conftest import Client

NO_TOR = Rule("no Tor", Condition(flags=frozenset({"tor"})), mildest="block")
POLICY = Policy(
    {
        "default": Profile("default"),
        "login": Profile("login", rules=(NO_TOR,), fail="closed"),
        "trial": Profile("trial", rules=(NO_TOR,), shadow=True),
    },
    Suppressed(frozenset()),
)
PLACES = ("other", *POLICY.profiles)
FEEDS = {"exits": ["192.0.2.1", "2001:db8::1"], "attacks": ["192.0.2.0/24"]}
DESCRIBED: dict[str, dict[str, Any]] = {"exits": {"category": "tor", "weight": 40}, "attacks": {"weight": 30}}
ME = Actor("ops", "test")


@pytest.fixture
def judged(tmp_path: Path) -> Iterator[Service]:
    make_snapshot(tmp_path, FEEDS, described=DESCRIBED)
    made = make_service(tmp_path)
    made.use_policy(POLICY, PLACES)
    yield made
    made.state.close()


@pytest.fixture
async def caller(judged: Service, aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(make_app(judged))


async def get(caller: Client, path: str, status: int = 200) -> dict[str, Any]:
    response = await caller.get(path)
    body: dict[str, Any] = await response.json(content_type=None)
    assert response.status == status, body
    return body


async def test_a_report_has_the_shape_of_the_contract(caller: Client) -> None:
    """Every property the contract needs and no other, at every level that it describes."""
    schemas = (await get(caller, "/openapi.json"))["components"]["schemas"]
    report = await get(caller, "/v1/report/192.0.2.1")
    parts = [(schemas["IpReport"], report), (schemas["Evidence"], report["listings"][0])]
    parts += [(schemas["IpReport"]["properties"][name], report[name]) for name in ("flags", "origin", "snapshot")]
    for schema, body in parts:
        assert set(schema["required"]) == set(schema["properties"]) == set(body)
    assert (report["score"], report["verdict"], report["profile"]) == (58, "challenge", "default")
    assert [row["contribution"] for row in report["listings"]] == [40, 18]


async def test_the_query_names_the_profile(caller: Client) -> None:
    """One profile for one request; an unknown one is refused with the names that there are."""
    report = await get(caller, "/v1/report/192.0.2.1?profile=login")
    assert (report["verdict"], report["decided_by"], report["fail"]) == ("block", "rule 1: no Tor", "closed")
    trial = await get(caller, "/v1/report/192.0.2.1?profile=trial")
    assert (trial["verdict"], trial["would"]) == ("allow", "block")
    for query in ("profile=admin", "profile="):
        refused = await get(caller, f"/v1/report/192.0.2.1?{query}", 400)
        assert "default, login, trial" in refused["detail"]
    for kind in ("text/plain", "application/json"):
        response = await caller.post("/v1/report?profile=admin", data=b'["192.0.2.1"]', headers={"Content-Type": kind})
        assert response.status == 400


@pytest.mark.parametrize("question", ["192.0.2", "192.0.2.0/24", "192.0.2.1:80", "x"])
async def test_a_bad_address_is_refused(caller: Client, question: str) -> None:
    """With 400 and a sentence, as in /v1/ip."""
    assert "is not an IPv4 or IPv6 address" in (await get(caller, f"/v1/report/{question}", 400))["detail"]


async def test_bulk_gives_what_single_gives(caller: Client) -> None:
    """Array, object, msgpack and lines: the single reports in the order asked, bad items with their reason."""
    asked = ["192.0.2.1", "nonsense", "198.51.100.1", "2001:0db8::1", *["192.0.2.9"] * (2 * BATCH)]
    single = {ip: await get(caller, f"/v1/report/{ip}?profile=login") for ip in set(asked) - {"nonsense"}}
    url = "/v1/report?profile=login"
    answers = {
        "array": await (await caller.post(url, json=asked)).json(),
        "object": await (await caller.post(url, json={"ips": asked})).json(),
        "msgpack": msgpack.unpackb(
            await (await caller.post(url, json=asked, headers={"Accept": "application/msgpack"})).read()
        ),
    }
    lines = await caller.post(url, data="\n".join(asked), headers={"Content-Type": "text/plain"})
    assert lines.content_type == "application/x-ndjson"
    answers["lines"] = [json.loads(line) for line in (await lines.text()).splitlines()]
    for way, found in answers.items():
        assert len(found) == len(asked), way
        for ip, report in zip(asked, found, strict=True):
            if ip == "nonsense":
                assert set(report) == {"ip", "error"}
            else:
                assert without_age(report) == without_age(single[ip]), way


def without_age(report: dict[str, Any]) -> dict[str, Any]:
    return {**report, "snapshot": {**report["snapshot"], "age_seconds": 0}}


async def test_an_empty_array_is_answered_with_one(caller: Client) -> None:
    """In both encodings."""
    assert await (await caller.post("/v1/report", json=[])).json() == []
    packed = await caller.post("/v1/report", json=[], headers={"Accept": "application/msgpack"})
    assert msgpack.unpackb(await packed.read()) == []


async def test_bulk_has_the_limits_of_other_bulk(caller: Client) -> None:
    """Too many items, no array, or another type of body are refused before anything is streamed."""
    assert (await caller.post("/v1/report", json=["192.0.2.1"] * (MOST_ITEMS + 1))).status == 413
    assert (await caller.post("/v1/report", json={"addresses": []})).status == 400
    assert (await caller.post("/v1/report", data=b"x", headers={"Content-Type": "text/csv"})).status == 415
    assert (await (await caller.post("/v1/report", json=[1, None, ["x"]])).json())[2]["ip"] is None


async def test_msgpack_holds_the_same(caller: Client) -> None:
    """``Accept: application/msgpack`` gives the same body packed."""
    packed = await caller.get("/v1/report/192.0.2.1", headers={"Accept": "application/msgpack"})
    plain = await get(caller, "/v1/report/192.0.2.1")
    assert packed.content_type == "application/msgpack"
    assert without_age(msgpack.unpackb(await packed.read())) == without_age(plain)


async def test_without_snapshot_or_policy_it_says_so(tmp_path: Path, aiohttp_client: AiohttpClient) -> None:
    """503 with what is missing; asked again when both are there, it answers."""
    service = make_service(tmp_path)
    caller = await aiohttp_client(make_app(service))
    assert "no snapshot" in (await get(caller, "/v1/report/192.0.2.1", 503))["detail"]
    make_snapshot(tmp_path, FEEDS, described=DESCRIBED)
    service.cell.poll()
    assert "policy" in (await get(caller, "/v1/report/192.0.2.1", 503))["detail"]
    service.use_policy(POLICY, PLACES)
    assert (await get(caller, "/v1/report/192.0.2.1"))["score"] == 58


async def test_what_it_is_made_of_is_renewed(caller: Client, judged: Service) -> None:
    """A new override, policy or snapshot is in force with the next report; an old snapshot is let go."""
    assert (await get(caller, "/v1/report/192.0.2.1"))["score"] == 58
    entry = Override("192.0.2.1", "allow", "ours", "ops", time.time())
    with Database.open(judged.data) as database:
        put_override(database, entry, ME)
    judged.state.load()
    allowed = await get(caller, "/v1/report/192.0.2.1")
    assert (allowed["score"], allowed["override"]["reason"]) == (0, "ours")
    judged.use_policy(Policy(POLICY.profiles, Suppressed(frozenset(), networks=("192.0.2.0/24",))), PLACES)
    assert (await get(caller, "/v1/report/192.0.2.7"))["suppressed_by"] == "network 192.0.2.0/24 of the policy"
    old, first = weakref.ref(judged.snapshot), judged.snapshot.id
    make_snapshot(judged.data, {"exits": ["192.0.2.1"]}, described=DESCRIBED)
    assert judged.cell.poll()
    judged.judging.follow(judged.snapshot)
    assert (await get(caller, "/v1/report/192.0.2.9"))["snapshot"]["id"] in {first, judged.snapshot.id}
    async with asyncio.timeout(10):
        while old() is not None:  # until the lists of the new one are open
            await asyncio.sleep(0.01)
            gc.collect()
    renewed = await get(caller, "/v1/report/192.0.2.9")
    assert (renewed["listed"], renewed["snapshot"]["id"]) == (False, judged.snapshot.id)


async def test_a_list_confirmed_since_the_snapshot_was_built_is_fresh(
    tmp_path: Path, aiohttp_client: AiohttpClient
) -> None:
    """A list that never changes is fetched well every hour and published once: it neither fades nor is stale."""
    old = time.time() - 20 * 86400
    make_snapshot(tmp_path, FEEDS, described=DESCRIBED, built_at=old)
    write_state(tmp_path, FeedState("exits", succeeded_at=time.time()))
    service = make_service(tmp_path)
    service.use_policy(POLICY, PLACES)
    report = await get(await aiohttp_client(make_app(service)), "/v1/report/192.0.2.1")
    assert report["snapshot"]["stale_feeds"] == ["attacks"]
    shares = [row["contribution"] for row in report["listings"]]
    assert shares[0] == 40
    assert shares[1] < 18


@pytest.mark.parametrize("query", ["profil=login", "profile=login&profile=default", "profile=login&x=1", "login"])
async def test_a_misspelt_query_is_refused(caller: Client, query: str) -> None:
    """Judged by the default without a word, whoever misspells would let pass what the profile would not."""
    for path in ("/v1/report/192.0.2.1", "/v1/email/a@example.org", "/v1/domain/example.org"):
        assert "?profile=login" in (await get(caller, f"{path}?{query}", 400))["detail"]
        assert (await get(caller, f"{path}?&"))["profile"] == "default"


async def test_a_database_that_cannot_be_used_is_said_in_the_log(
    caller: Client, judged: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """Reports go on without it, and the reason stands in the log once, also where it was so from the start."""
    judged.judging = Judging(judged.data, [judged.data / "absent.mmdb"])
    for _ in range(2):
        assert (await get(caller, "/v1/report/192.0.2.1"))["score"] == 58
    assert [line for line in caplog.messages if "absent.mmdb" in line] == [
        f"a database cannot be used: {judged.data / 'absent.mmdb'}: cannot be read: No such file or directory"
    ]


async def test_reports_and_verdicts_are_counted(caller: Client, judged: Service) -> None:
    """Reports, those with a listing, and every verdict by profile, what a shadow would have said apart."""
    await get(caller, "/v1/report/192.0.2.1?profile=trial")
    await get(caller, "/v1/report/192.0.2.1/24", 400)
    await caller.post("/v1/report", json=["192.0.2.1", "198.51.100.1", "x"])
    counted = {
        (sample.metric, sample.labels): sample.value
        for sample in judged.counters.samples()
        if sample.metric in {LOOKUPS, LISTED, VERDICTS, SHADOW_VERDICTS} and sample.value
    }
    assert counted == {
        (LOOKUPS, ("report",)): 3,
        (LISTED, ("report",)): 2,
        (VERDICTS, ("trial", "allow")): 1,
        (SHADOW_VERDICTS, ("trial", "block")): 1,
        (VERDICTS, ("default", "challenge")): 1,
        (VERDICTS, ("default", "allow")): 1,
    }


async def test_reports_are_in_the_decision_log(caller: Client, judged: Service) -> None:
    """Where the policy wants decisions logged, each report is a line."""
    judged.use_policy(Policy(POLICY.profiles, Suppressed(frozenset()), DecisionLogging(enabled=True)), PLACES)
    await get(caller, "/v1/report/192.0.2.1?profile=login")
    await caller.post("/v1/report", json=["192.0.2.1", "198.51.100.1"])
    assert judged.decisions is not None
    judged.decisions.close()
    (file,) = (judged.data / "decisions").iterdir()
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["verdict"] for row in rows] == ["block", "challenge", "allow"]
