"""The handlers: read the question, ask the core, choose a response.

Each takes a request and gives a response or raises; ``problems`` turns what is raised into an answer. A handler takes
``service.snapshot`` once and uses that object to the end.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from aiohttp import web

from blocklistd.errors import NotReady
from blocklistd.metrics import LISTED, LOOKUPS, SLOT_OF
from blocklistd.units import format_moment
from blocklistd.version import VERSION
from blocklistd.web.access import is_admitted, require_operator
from blocklistd.web.acts import note_refresh
from blocklistd.web.bodies import JSON, MSGPACK, Answers, encode
from blocklistd.web.feeds import FeedStatus
from blocklistd.web.keys import SERVICE
from blocklistd.web.problems import RETRY_AFTER, RequestRefused, problem
from blocklistd.web.ready import is_fresh, shortcoming
from blocklistd.web.scrape import exposition_of
from blocklistd.web.service import Service

ASKED: Final = SLOT_OF[LOOKUPS, ("ip",)]
FOUND: Final = SLOT_OF[LISTED, ("ip",)]
NO_CACHE: Final = {"Cache-Control": "no-store"}


def wants_msgpack(request: web.Request) -> bool:
    """Whether ``Accept`` names msgpack, with any weight but 0."""
    accept = request.headers.get("Accept")
    if not accept or "msgpack" not in accept:
        return False
    for choice in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in choice.split(";"))
        if kind in {MSGPACK, "application/x-msgpack", "application/vnd.msgpack"}:
            return not any(part.startswith("q=") and not part[2:].strip("0.") for part in parameters)
    return False


def answer(request: web.Request, body: object, *, status: int = 200) -> web.Response:
    """A body as JSON, or as msgpack where the caller accepts it."""
    packed = wants_msgpack(request)
    content_type = MSGPACK if packed else JSON
    return web.Response(body=encode(body, packed=packed), status=status, content_type=content_type)


async def get_ip(request: web.Request) -> web.Response:
    """Which feeds name one address."""
    service = request.app[SERVICE]
    packed = wants_msgpack(request)
    answers = Answers(service.snapshot, packed=packed)
    body = answers.single(request.match_info["ip"])
    service.row.add_at(ASKED)
    if answers.listed:
        service.row.add_at(FOUND)
    return web.Response(body=body, content_type=MSGPACK if packed else JSON)


async def get_feeds(request: web.Request) -> web.Response:
    """State of every feed, of the snapshot, and of the last refresh."""
    service = request.app[SERVICE]
    feeds = await service.feeds()
    return answer(request, {**_summary(service), "feeds": [feed.as_body() for feed in feeds]})


async def get_feed(request: web.Request) -> web.Response:
    """State of one feed."""
    wanted = request.match_info["id"]
    found: FeedStatus | None = next((feed for feed in await request.app[SERVICE].feeds() if feed.id == wanted), None)
    if found is None:
        raise RequestRefused(404, f"There is no feed {wanted[:64]!r}; GET /v1/feeds names them all.")
    return answer(request, found.as_body())


def _summary(service: Service) -> dict[str, Any]:
    snapshot, notices = service.cell.snapshot, service.notices
    refresh, catalogue, policy = notices.refresh, notices.catalogue, notices.policy
    return {
        "snapshot": snapshot.id if snapshot else None,
        "generation": snapshot.generation if snapshot else None,
        "built_at": format_moment(snapshot.built_at) if snapshot else None,
        "age_seconds": round(time.time() - snapshot.built_at) if snapshot else None,
        "snapshot_problem": service.cell.problem or None,
        "state_problem": service.state.problem or None,
        "pin": service.state.pin.as_document() if service.state.pin else None,
        "refreshing": notices.refreshing,
        "refresh": {
            "started": format_moment(refresh.started),
            "finished": format_moment(refresh.finished),
            "result": refresh.result,
            "published": refresh.published,
            "error": refresh.error or None,
            "notes": refresh.notes,
        }
        if refresh
        else None,
        "catalogue": {"read_at": format_moment(catalogue.read_at), "error": catalogue.problem or None}
        if catalogue
        else None,
        "policy": {"read_at": format_moment(policy.read_at), "error": policy.problem or None} if policy else None,
    }


async def post_refresh(request: web.Request) -> web.Response:
    """Ask the supervisor to fetch now."""
    actor = require_operator(request, or_local=True)
    service = request.app[SERVICE]
    reply = await service.ask_refresh()
    if reply.status != 202:
        return problem(reply.status, reply.sentence, RETRY_AFTER if reply.status == 503 else None)
    await note_refresh(service.data, actor)
    return answer(request, {"accepted": True, "detail": reply.sentence, "progress": "/v1/feeds"}, status=202)


async def get_health(request: web.Request) -> web.Response:  # noqa: ARG001 - every handler takes the request
    """Whether this process lives."""
    return web.Response(body=encode({"live": True}, packed=False), content_type=JSON, headers=NO_CACHE)


async def get_ready(request: web.Request) -> web.Response:
    """Whether there is a snapshot to answer from, and its feeds are as fresh as the settings ask."""
    service = request.app[SERVICE]
    admitted = is_admitted(request)
    if service.cell.snapshot is None and not admitted:
        raise NotReady("There is no snapshot to answer from yet.")
    snapshot, feeds = service.snapshot, await service.feeds()
    if reason := shortcoming(service.ready, feeds):
        raise NotReady(reason if admitted else "The feeds are not fresh enough; with a key this says which.")
    body = {
        "ready": True,
        "snapshot": snapshot.id,
        "built_at": format_moment(snapshot.built_at),
        "age_seconds": round(time.time() - snapshot.built_at),
    }
    if admitted:
        body |= {
            "feeds": len(snapshot.feeds),
            "fresh_feeds": sum(map(is_fresh, feeds)),
            "quarantined_feeds": [feed.id for feed in feeds if feed.quarantine is not None],
            "pin": service.state.pin.as_document() if service.state.pin else None,
        }
    return web.Response(body=encode(body, packed=False), content_type=JSON, headers=NO_CACHE)


async def get_metrics(request: web.Request) -> web.Response:
    """What Prometheus scrapes; written off the loop, because it takes milliseconds."""
    service = request.app[SERVICE]
    feeds = await service.feeds()
    accept = request.headers.get("Accept", "")
    body, content_type = await asyncio.to_thread(exposition_of, service, feeds, accept, time.time())
    return web.Response(body=body, headers={"Content-Type": content_type})


async def get_home(request: web.Request) -> web.Response:
    """What this is and where to go on, for a person who opens the address in a browser."""
    snapshot = request.app[SERVICE].cell.snapshot
    state = f"snapshot {snapshot.id}, {len(snapshot.feeds)} feeds" if snapshot else "no snapshot yet"
    lines = [f"blocklistd {VERSION}: which public lists name this address?", f"Now: {state}.", ""]
    lines += [f"{route['method']:<8}{route['path']:<22}{route['summary']}" for route in request.app[ENDPOINTS]]
    return web.Response(text="\n".join([*lines, ""]), content_type="text/plain")


async def get_openapi(request: web.Request) -> web.Response:
    """The contract."""
    return web.Response(body=encode(request.app[CONTRACT], packed=False), content_type=JSON)


ENDPOINTS: Final = web.AppKey("endpoints", list[dict[str, str]])
CONTRACT: Final = web.AppKey("contract", dict[str, Any])
